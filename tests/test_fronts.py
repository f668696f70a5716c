"""What the clients promise that threads may share: one suite over facade, pool and thread-local."""

from __future__ import annotations

import datetime
import gc
import os
import random
import signal
import threading

import pytest
import shotgun_api3
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun
from tests.support import LONG, in_thread


@pytest.fixture
def official(sandbox):
    """The official client, as the judge."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    yield sg
    sg.close()


@pytest.fixture
def show(official):
    """A project with 40 shots, versions and a note: dates, links, lists, text of all kinds."""
    project = official.create("Project", {"name": "Nord <1> & süd"})
    sequence = official.create("Sequence", {"code": "sq010", "project": project})
    shots = official.batch(
        [
            {
                "request_type": "create",
                "entity_type": "Shot",
                "data": {
                    "code": f"sh{number:03}",
                    "project": project,
                    "sg_sequence": sequence if number % 3 else None,
                    "description": None if number % 4 else f"Größe &lt; {number} 😀",
                    "sg_cut_in": number * 7,
                },
            }
            for number in range(40)
        ]
    )
    for shot in shots[:5]:
        official.create(
            "Version",
            {"code": f"v{shot['id']}", "project": project, "entity": shot, "sg_first_frame": 1001},
        )
    return {"project": project, "sequence": sequence, "shots": shots}


QUERIES = [
    ("find", ("Shot", []), {}),
    ("find", ("Shot", [["sg_cut_in", "greater_than", 100]], ["code", "sg_cut_in"]), {}),
    (
        "find",
        ("Shot", [], ["code", "description", "created_at", "updated_at", "sg_sequence"]),
        {"order": [{"field_name": "code", "direction": "desc"}], "limit": 7},
    ),
    ("find", ("Shot", [], ["code", "sg_sequence.Sequence.code", "project.Project.name"]), {}),
    ("find", ("Version", [], ["entity", "entity.Shot.code", "created_by", "project"]), {}),
    ("find", ("Shot", [["code", "contains", "SH01"]], ["code"]), {"page": 1, "limit": 3}),
    (
        "find",
        (
            "Shot",
            {
                "logical_operator": "or",
                "conditions": [
                    {"path": "code", "relation": "is", "values": ["sh001"]},
                    {"path": "sg_sequence", "relation": "is", "values": [None]},
                ],
            },
            ["code"],
        ),
        {},
    ),
    ("find_one", ("Shot", [["code", "is", "sh011"]], ["code", "created_by"]), {}),
    ("find_one", ("Shot", [["code", "is", "no such shot"]]), {}),
    (
        "summarize",
        ("Shot", [], [{"field": "id", "type": "count"}, {"field": "sg_cut_in", "type": "sum"}]),
        {"grouping": [{"field": "sg_sequence", "type": "exact", "direction": "asc"}]},
    ),
    ("schema_field_read", ("Shot", "code"), {}),
    ("schema_entity_read", (), {}),
    ("info", (), {}),
    ("get_attachment_download_url", ({"type": "Attachment", "id": 3},), {}),
]


def typed(value):
    """*value* with the type of everything in it, and the time zone object of each date."""
    if isinstance(value, dict):
        return {"dict": [(key, typed(item)) for key, item in value.items()]}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, datetime.datetime):
        return ("datetime", value, type(value.tzinfo), value.utcoffset())
    return (type(value), value)


@pytest.mark.parametrize("convert", [True, False], ids=["local time", "UTC"])
def test_front_returns_what_the_official_client_returns(front, official, show, convert):
    """Each query gives the same values, of the same types, in the same order."""
    front.sg.config.convert_datetimes_to_utc = convert
    official.config.convert_datetimes_to_utc = convert
    seen_datetime = False
    for name, args, kwargs in QUERIES:
        expected = getattr(official, name)(*args, **kwargs)
        answer = getattr(front.sg, name)(*args, **kwargs)
        assert typed(answer) == typed(expected), (name, args)
        seen_datetime |= "datetime" in repr(expected)
    assert seen_datetime
    assert front.sg.server_info == official.server_info
    assert front.sg.base_url == official.base_url
    assert front.sg.config.records_per_page == official.config.records_per_page
    assert front.sg.client_caps.py_version == official.client_caps.py_version


def test_front_writes_as_the_official_client_does(front, official, show):
    """create, update, delete, revive and batch do on the site what they do officially."""
    shot = front.sg.create("Shot", {"code": "new", "project": show["project"]}, ["code", "project"])
    assert shot["code"] == "new"
    assert front.sg.update("Shot", shot["id"], {"sg_cut_in": 5})["sg_cut_in"] == 5
    assert front.sg.delete("Shot", shot["id"]) is True
    assert official.find_one("Shot", [["id", "is", shot["id"]]]) is None
    assert front.sg.revive("Shot", shot["id"]) is True
    done = front.sg.batch(
        [
            {"request_type": "update", "entity_type": "Shot", "entity_id": shot["id"],
             "data": {"description": "b"}},
            {"request_type": "delete", "entity_type": "Shot", "entity_id": shot["id"]},
        ]
    )  # fmt: skip
    assert done[0]["description"] == "b"
    assert done[1] is True


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("find", ("Shot", [["nope", "is", 1]]), {}),
        ("find", ("Nope", []), {}),
        ("find", ("Shot", [["id", "in", []]]), {}),
        ("find", ("Shot", []), {"limit": -1}),
        ("find", ("Shot", [["code", "is"]]), {}),
        ("find", ("Shot", [], None, None, "neither"), {}),
        ("find", ("Shot",), {}),
        ("create", ("Shot", {"code": 5}), {}),
        ("update", ("Shot", 10**6, {"code": "x"}), {}),
        ("batch", ({},), {}),
        ("batch", ([{"request_type": "fly", "entity_type": "Shot"}],), {}),
        ("schema", ("Shot",), {}),
        ("entity_types", (), {}),
        ("authenticate_human_user", ("", ""), {}),
    ],
)
def test_front_raises_what_the_official_client_raises(front, official, name, args, kwargs):
    """Each error has the class and the text of the official client's."""
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever the client raises
        getattr(official, name)(*args, **kwargs)
    with pytest.raises(type(expected.value)) as raised:
        getattr(front.sg, name)(*args, **kwargs)
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)
    assert front.sg.find("Shot", []) == []


def test_front_refused_key_raises_authentication_fault(front):
    """A key that the site refuses is the client's own exception, and can be corrected."""
    right = front.sg.config.api_key
    front.sg.config.api_key = "wrong"
    with pytest.raises(shotgun_api3.AuthenticationFault, match="Can't authenticate script"):
        front.sg.find("Shot", [])
    front.sg.config.api_key = right
    assert front.sg.find("Shot", []) == []


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_front_http_error_is_a_protocol_error(front_without_retries, sandbox, status):
    """An HTTP error is the client's ProtocolError with the status, and the next call works."""
    front = front_without_retries
    front.sg.connect()
    sandbox.fail_next("read", status=status)
    with pytest.raises(shotgun_api3.ProtocolError) as raised:
        front.sg.find("Shot", [])
    assert raised.value.errcode == status
    assert front.sg.find("Shot", []) == []


def test_front_site_that_dies_midway_is_an_error_of_that_call(front_without_retries, sandbox):
    """A connection that is cut fails the call that used it; the next one connects anew."""
    front = front_without_retries
    front.sg.connect()
    front.sg.find("Shot", [])
    sandbox.drop_next("read")
    with pytest.raises((OSError, shotgun_api3.lib.httplib2.HttpLib2Error)):
        front.sg.find("Shot", [])
    assert front.sg.find("Shot", []) == []


def test_front_site_that_cannot_be_reached_is_an_error_of_that_call(sandbox):
    """Nothing listens: each call fails by itself, and constructing says nothing of it."""
    for cls in (ShotgunExecutor, ShotgunPool, ThreadLocalShotgun):
        with cls("http://127.0.0.1:9", script_name="a", api_key="b", retries=0) as owner:
            sg = owner.shotgun if cls is ShotgunExecutor else owner
            for _ in range(2):
                with pytest.raises(ConnectionRefusedError):
                    sg.find("Shot", [])


def test_front_constructing_opens_no_connection(front, sandbox):
    """Before the first call nothing is sent; settings and reprs are there all the same."""
    assert isinstance(front.sg, Shotgun)
    assert front.sg.config.server in repr(front.sg)
    assert front.sg.base_url == sandbox.url
    front.sg.add_user_agent("tool 1")
    front.sg.set_session_uuid("some-uuid")
    assert sandbox.counters().connections == 0
    front.sg.find("Shot", [])
    assert sandbox.counters().requests == {"info": 1, "read": 1}
    assert sandbox.counters().connections == 1


@pytest.mark.parametrize("calls", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_front_many_threads_each_get_their_own_records(front, sandbox, show, calls):
    """16 threads x so many calls: no wrong record, few connections, one `info`."""
    sandbox.clear()
    project = front.sg.create("Project", {"name": "Echo"})
    shots = front.sg.batch(
        [
            {"request_type": "create", "entity_type": "Shot",
             "data": {"code": f"echo{number}", "project": project}}
            for number in range(100)
        ]
    )  # fmt: skip
    codes = {shot["id"]: shot["code"] for shot in shots}
    start = threading.Barrier(16)

    def look_up(seed):
        ids = random.Random(seed).choices(sorted(codes), k=calls)
        wrong = []
        start.wait(LONG)
        for number in ids:
            shot = front.sg.find_one("Shot", [["id", "is", number]], ["code"])
            if shot != {"type": "Shot", "id": number, "code": codes[number]}:
                wrong.append((number, shot))
        return wrong

    for join in [in_thread(lambda seed=seed: look_up(seed)) for seed in range(16)]:
        # one by one the site takes most of this
        assert join(limit=120) == []
    counters = sandbox.counters()
    assert counters.requests == {"info": 1, "create": 1, "batch": 1, "read": 16 * calls}
    workers = 8 if isinstance(front.owner, ShotgunExecutor) else 17
    assert counters.connections <= workers


def test_front_threads_that_share_an_order_list(front, show):
    """The client writes into `order`; here a list that threads share stays as it is."""
    order = [{"field_name": "sg_cut_in"}]
    joins = [in_thread(lambda: front.sg.find("Shot", [], ["code"], order=order)) for _ in range(8)]
    assert len({str(join()) for join in joins}) == 1
    assert order == [{"field_name": "sg_cut_in"}]


def test_front_settings_reach_every_connection_before_its_next_call(front):
    """What is set on the front is what each client has at its next call, and at no other's cost."""
    barrier = threading.Barrier(4)

    def together(function):
        def call(client):
            barrier.wait(LONG)  # four calls at once, so on four clients
            return function(client)

        return [join() for join in [in_thread(lambda: front.on_client(call)) for _ in range(4)]]

    before = together(lambda client: (id(client), client.config.timeout_secs))
    assert len({number for number, _ in before}) == 4
    front.sg.config.timeout_secs = 7
    front.sg.config.extra_auth_params = {"product": "rv"}
    front.sg.add_user_agent("tool 1")
    front.sg.set_session_uuid("some-uuid")
    front.sg.MAX_ATTEMPTS = 1

    def settings(client):
        config = client.config
        agents = "; ".join(client._user_agents)
        return (
            config.timeout_secs,
            config.extra_auth_params,
            config.session_uuid,
            agents.endswith("; tool 1"),
            client.MAX_ATTEMPTS,
        )

    assert together(settings) == [(7, {"product": "rv"}, "some-uuid", True, 1)] * 4
    front.sg.config.extra_auth_params["product"] = "nuke"  # in place
    front.sg.reset_user_agent()
    del front.sg.MAX_ATTEMPTS
    assert together(settings) == [(7, {"product": "nuke"}, "some-uuid", False, 3)] * 4


def test_front_clients_share_nothing_that_can_change(front):
    """Each client has its own config, lists and server info."""
    barrier = threading.Barrier(3)
    front.sg.config.extra_auth_params = {"product": "rv"}

    def parts(client):
        barrier.wait(LONG)
        return [
            client,
            client.config,
            client.config.extra_auth_params,
            client._user_agents,
            client.server_info,
            client.server_caps,
        ]

    found = [join() for join in [in_thread(lambda: front.on_client(parts)) for _ in range(3)]]
    found.append([front.sg, front.sg.config, front.sg.config.extra_auth_params])
    objects = [part for parts in found for part in parts]
    assert len({id(part) for part in objects}) == len(objects)
    for client, config, *_ in found[:3]:
        assert config._sg is client


def test_front_server_info_is_live(front):
    """A change to `server_info` takes effect on each client, as it does on a Shotgun."""
    front.sg.server_info["s3_direct_uploads_enabled"] = "changed"
    read = front.on_client(lambda client: client.server_info["s3_direct_uploads_enabled"])
    assert read == "changed"


def test_front_close_closes_all_and_the_next_call_connects(front, sandbox):
    """close() leaves no connection open, and is not the end."""
    barrier = threading.Barrier(4)

    def together(client):
        client.find("Shot", [])
        barrier.wait(LONG)
        closed.wait(LONG)

    closed = threading.Event()
    joins = [in_thread(lambda: front.on_client(together)) for _ in range(4)]
    sandbox_has(sandbox, open_connections=4)
    front.sg.close()  # the clients are leased, but none is in a request
    sandbox_has(sandbox, open_connections=0)
    closed.set()
    for join in joins:
        join()
    assert front.sg.find("Shot", []) == []
    sandbox_has(sandbox, open_connections=1)
    front.sg.close()
    front.sg.close()
    sandbox_has(sandbox, open_connections=0)


def sandbox_has(sandbox, **expected):
    """Wait until the site counts what is expected: it learns of a closed socket a little later."""
    pause = threading.Event()
    for _ in range(int(LONG / 0.005)):
        counters = sandbox.counters()
        if all(getattr(counters, name) == value for name, value in expected.items()):
            return
        pause.wait(0.005)
    raise AssertionError(f"expected {expected}, the site counts {counters}")


def test_front_that_is_dropped_leaves_no_connection_open(sandbox):
    """Without close() too: the sockets go with the last reference, not with some collection."""
    gc.disable()
    try:
        pool = ShotgunPool(sandbox.url, **sandbox.credentials)
        pool.find("Shot", [])
        local = ThreadLocalShotgun(sandbox.url, **sandbox.credentials)
        local.find("Shot", [])
        executor = ShotgunExecutor(sandbox.url, **sandbox.credentials)
        executor.find("Shot", []).result(LONG)
        assert sandbox.counters().open_connections == 3
        del pool, local, executor
        sandbox_has(sandbox, open_connections=0)
    finally:
        gc.enable()


def test_front_close_during_a_call_lets_it_end(front, sandbox):
    """close() does not tear a call that runs; its connection is closed after it."""
    front.sg.connect()
    sandbox.hold("read")
    join = in_thread(lambda: front.sg.find("Shot", []))
    sandbox.wait_for(1)
    front.sg.close()
    sandbox.resume()
    assert join() == []
    assert front.sg.find("Shot", []) == []


def test_front_authenticate_human_user_never_lends_its_identity(front, sandbox):
    """While a person is checked, no call of another thread runs as that person."""
    done = threading.Event()
    project = front.sg.create("Project", {"name": "Identity"})

    def check():
        people = []
        for _ in range(20):
            people.append(front.sg.authenticate_human_user(sandbox.login, sandbox.password))
        done.set()
        return people

    def create():
        makers = set()
        while not done.is_set():
            shot = front.sg.create("Shot", {"code": "x", "project": project}, ["created_by"])
            makers.add(shot["created_by"]["type"])
        return makers

    checking = in_thread(check)
    creating = [in_thread(create) for _ in range(3)]
    assert {person["login"] for person in checking()} == {sandbox.login}
    assert {maker for join in creating for maker in join()} == {"ApiUser"}
    try:
        nobody = front.sg.authenticate_human_user(sandbox.login, "wrong")
    except shotgun_api3.AuthenticationFault:
        nobody = None  # shotgun_api3 before 3.10 swallows the fault
    assert nobody is None
    assert front.sg.config.user_login is None


def test_front_identity_set_within_a_call_ends_with_it(front, sandbox):
    """What a call or a lease sets on its client is not there for the next, nor for others."""

    def act_as(client, **settings):
        for name, value in settings.items():
            setattr(client.config, name, value)
        return client.find("Shot", [])

    front.on_client(lambda client: act_as(client, sudo_as_login=sandbox.login))
    someone = {"session_token": "someone's", "script_name": None, "api_key": None}
    with pytest.raises(shotgun_api3.AuthenticationFault):
        front.on_client(lambda client: act_as(client, **someone))

    def identity(client):
        config = client.config
        return config.sudo_as_login, config.session_token, config.script_name

    assert front.on_client(identity) == (None, None, sandbox.script_name)
    assert front.sg.config.session_token is None
    project = front.sg.create("Project", {"name": "mine"}, ["created_by"])
    assert project["created_by"]["type"] == "ApiUser"


def test_front_session_token_is_asked_for_once(front, sandbox):
    """A session token that one connection was given is every connection's."""
    token = front.sg.get_session_token()
    assert front.sg.config.session_token == token
    joins = [in_thread(front.sg.get_session_token) for _ in range(8)]
    assert {join() for join in joins} == {token}
    assert sandbox.counters().requests["get_session_token"] == 1


def test_front_ctrl_c_in_a_find_then_one_create_with_the_right_answer(front, sandbox, show):
    """A real SIGINT in the middle of an answer: the next call is sent once, and is answered."""
    front.sg.find("Shot", [])
    sandbox.clear()
    project = front.sg.create("Project", {"name": "Interrupted"})
    sandbox.hold("read")

    def interrupt():
        sandbox.wait_for(1)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        front.sg.find("Shot", [], ["code"])
    interrupting()
    shot = front.sg.create("Shot", {"code": "after", "project": project}, ["code"])
    assert (shot["type"], shot["code"]) == ("Shot", "after")
    sandbox.resume()
    assert sandbox.counters().requests["create"] == 2
    found = front.sg.find("Shot", [["code", "is", "after"]], ["code"])
    assert found == [{"type": "Shot", "id": shot["id"], "code": "after"}]


def test_front_uncaught_interrupt_inside_a_call_closes_the_connection(front, sandbox):
    """Who catches the interrupt within a call and goes on gets the right answers too."""

    class Interrupted(BaseException):
        pass

    def call(client):
        assert client.find("Shot", []) == []
        sandbox.hold("read")

        def interrupted(*args, **kwargs):
            connection = next(iter(client._connection.connections.values()))
            connection.request("POST", "/api3/json", kwargs["body"], kwargs["headers"])
            sandbox.wait_for(1)  # sent, and the answer is on its way
            raise Interrupted

        client._connection.request = interrupted
        with pytest.raises(Interrupted):
            client.find("Shot", [])
        sandbox.resume()
        return client.create("Project", {"name": "after"}, ["name"])

    assert front.on_client(call)["name"] == "after"
    assert sandbox.counters().requests["create"] == 1


def test_front_subclasses_keep_what_they_override_and_add(sandbox):
    """A studio's subclass works behind each front: its methods, its state, its `find`."""

    class StudioShotgun(Shotgun):
        def __init__(self, base_url, **credentials):
            super().__init__(base_url, connect=False, **credentials)
            self.suffix = ["!"]

        def find(self, entity_type, filters, fields=None, *args, shout=False, **kwargs):
            found = super().find(entity_type, filters, fields, *args, **kwargs)
            return [shot["code"].upper() for shot in found] if shout else found

        def shots(self):
            return [code + self.suffix[0] for code in self.find("Shot", [], ["code"], shout=True)]

    sg = StudioShotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "Studio"})
    sg.create("Shot", {"code": "sh1", "project": project})
    sg.close()
    with ShotgunExecutor(sg) as executor, ShotgunPool(sg) as pool, ThreadLocalShotgun(sg) as local:
        assert executor.shots().result(LONG) == ["SH1!"]
        assert executor.find("Shot", [], ["code"], shout=True).result(LONG) == ["SH1"]
        with pytest.raises(AttributeError, match="StudioShotgun"):
            _ = executor.no_such_method
        for front in (executor.shotgun, pool, local):
            assert front.shots() == ["SH1!"]
            assert front.find("Shot", [], ["code"], shout=True) == ["SH1"]
            assert front.suffix == ["!"]
            front.suffix = ["?"]
            assert front.shots() == ["SH1?"]
            front.suffix = ["!"]
        assert executor.call(lambda client: isinstance(client, StudioShotgun)).result(LONG)


def test_front_copies_an_existing_client_and_leaves_it_alone(sandbox):
    """All settings of a given client are taken over; the client itself is not used or changed."""
    sg = Shotgun(
        sandbox.url,
        login=sandbox.login,
        password=sandbox.password,
        convert_datetimes_to_utc=False,
        http_proxy="me:pw@proxy:3128",
        ca_certs="/some/ca.pem",
        sudo_as_login="someone",
        connect=False,
    )
    sg.config.localized = True
    sg.config.extra_auth_params = {"product": "rv"}
    sg.config.timeout_secs = 3
    sg.config.rpc_attempt_interval = 11
    sg.add_user_agent("tool 2")
    sg.set_session_uuid("uuid")
    before = {**vars(sg.config)}
    for cls in (ShotgunExecutor, ShotgunPool, ThreadLocalShotgun):
        with cls(sg) as owner:
            copied = owner._run(lambda client: client)
            for name, value in before.items():
                if name not in ("_sg", "proxy_handler"):
                    assert getattr(copied.config, name) == value, name
            assert copied.config is not sg.config
            assert copied.config.proxy_handler.proxies == sg.config.proxy_handler.proxies
            assert copied.config.proxy_handler is not sg.config.proxy_handler
            assert copied._user_agents == sg._user_agents
            assert copied._user_agents is not sg._user_agents
            assert copied._Shotgun__ca_certs == "/some/ca.pem"
    assert vars(sg.config) == before


def test_front_of_a_connected_client_asks_for_no_info(sandbox):
    """What a given client knows of its site is not asked again."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    sg.close()
    with ShotgunPool(sg) as pool, ShotgunExecutor(pool) as executor:
        assert pool.find("Shot", []) == executor.find("Shot", []).result(LONG) == []
    assert sandbox.counters().requests == {"info": 1, "read": 2}


def test_front_factory_makes_every_client(sandbox):
    """A factory is called for each connection, and not before the first call."""
    made = []

    def factory():
        made.append(Shotgun(sandbox.url, connect=False, **sandbox.credentials))
        return made[-1]

    with ShotgunPool(factory=factory) as pool:
        assert made == []
        assert "unknown before the first call" in repr(pool)
        with pool.lease() as first, pool.lease() as second:
            assert [first, second] == made
            pool.config.timeout_secs = 9
            assert first.find("Shot", []) == second.find("Shot", []) == []
        with pool.lease() as again:
            assert again.config.timeout_secs == 9
    assert sandbox.counters().requests == {"info": 1, "read": 2}


def test_front_factory_that_returns_something_else_is_named(sandbox):
    """A factory that returns no client, or the same one twice, is an error of the call."""
    with ShotgunExecutor(factory=lambda: "sg") as executor:
        with pytest.raises(TypeError, match="factory must return a new Shotgun at each call"):
            executor.find("Shot", []).result(LONG)
        with pytest.raises(TypeError, match="it returned a str"):
            executor.shotgun.find("Shot", [])
    same = Shotgun(sandbox.url, connect=False, **sandbox.credentials)
    with ShotgunPool(factory=lambda: same) as pool, pool.lease():
        with pytest.raises(TypeError, match="the same one twice"):
            pool.lease()
    assert sandbox.counters().total == 0


def test_front_two_factor_code_is_used_once(sandbox):
    """A one-time code is traded for a session token by the first call, for all connections."""
    with ShotgunExecutor(
        sandbox.url, login=sandbox.login, password=sandbox.password, auth_token="123456"
    ) as executor:
        assert sandbox.counters().total == 0
        found = [executor.find("Shot", []) for _ in range(20)]
        assert [future.result(LONG) for future in found] == [[]] * 20
        config = executor.config
        assert config.session_token
        assert (config.user_login, config.user_password, config.auth_token) == (None,) * 3
    assert sandbox.counters().requests["get_session_token"] == 1
