from __future__ import annotations

from collections import UserDict, deque
from concurrent.futures import Future

import pytest
from shotgun_api3 import Shotgun

from shotgun_executor import ShotgunExecutor, ShotgunPool, ThreadLocalShotgun
from shotgun_executor.sandbox import Sandbox
from tests.support import KEYS, LONG, NOWHERE

OWNERS = pytest.mark.parametrize("owner", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])


@OWNERS
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, TypeError, "needs base_url"),
        ({"base_url": 5}, TypeError, "base_url must be the URL of a site or a Shotgun, not a int"),
        ({"base_url": "my-site", **KEYS}, ValueError, "try 'https://my-site'"),
        ({"base_url": "ftp://my-site", **KEYS}, ValueError, "must start with https://"),
        ({"base_url": NOWHERE}, ValueError, "needs credentials: script_name and api_key, login"),
        ({"base_url": NOWHERE, "script_name": "a"}, ValueError, "without api_key"),
        ({"base_url": NOWHERE, "login": "a"}, ValueError, "login provided without password"),
        (
            {"base_url": NOWHERE, "session_token": "t", **KEYS},
            ValueError,
            "both session_token and script_name",
        ),
        ({"base_url": NOWHERE, "auth_token": "1", **KEYS}, ValueError, "auth_token goes with"),
        ({"base_url": NOWHERE, "scriptname": "a"}, TypeError, "unexpected argument 'scriptname'"),
        ({"base_url": "http://", **KEYS}, ValueError, "base_url names no site"),
        ({"base_url": NOWHERE, "script_name": 5, "api_key": "k"}, TypeError, "script_name must be"),
        ({"base_url": NOWHERE, "http_proxy": 5, **KEYS}, TypeError, "http_proxy must be a str"),
        (
            {"base_url": NOWHERE, "convert_datetimes_to_utc": "no", **KEYS},
            TypeError,
            "convert_datetimes_to_utc must be a bool, not a str",
        ),
        ({"factory": "x"}, TypeError, "factory must be a function"),
        (
            {"factory": Shotgun, "base_url": NOWHERE, **KEYS},
            TypeError,
            "takes all settings from factory; leave out base_url, api_key, script_name",
        ),
        (
            {"base_url": Shotgun(NOWHERE, connect=False, **KEYS), "script_name": "other"},
            TypeError,
            "takes all settings from a Shotgun; leave out script_name",
        ),
    ],
)
def test_constructor_refuses_bad_input_by_name(owner, arguments, error, says):
    """A wrong argument is named, with the remedy, before anything is sent."""
    with pytest.raises(error, match=says):
        owner(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1, got 0"),
        ({"max_workers": "8"}, TypeError, "max_workers must be an integer, not '8'"),
        ({"max_workers": True}, TypeError, "max_workers must be an integer"),
        ({"max_idle": -1}, ValueError, "max_idle must not be negative"),
        ({"initializer": 5}, TypeError, "initializer must be a function"),
        ({"initializer": print, "initargs": 5}, TypeError, "initargs must be a tuple"),
        ({"max_idle": None}, TypeError, "max_idle must be a number of seconds"),
    ],
)
def test_executor_refuses_bad_numbers(arguments, error, says):
    """The executor's own arguments are checked and named too."""
    with pytest.raises(error, match=says):
        ShotgunExecutor(NOWHERE, **KEYS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_size": 0}, ValueError, "max_size must be at least 1"),
        ({"timeout": "soon"}, TypeError, "timeout must be a number of seconds"),
        ({"max_idle": float("nan")}, ValueError, "max_idle must not be negative"),
    ],
)
def test_pool_refuses_bad_numbers(arguments, error, says):
    """The pool's own arguments are checked and named too."""
    with pytest.raises(error, match=says):
        ShotgunPool(NOWHERE, **KEYS, **arguments)


@OWNERS
def test_constructor_errors_show_no_secret(owner):
    """A password in a URL or a proxy address is in no error."""
    for arguments in (
        {"base_url": "user:hunter2@my-site"},
        {"base_url": NOWHERE, "http_proxy": "user:hunter2@proxy:port", **KEYS},
    ):
        with pytest.raises(ValueError, match=r"my-site|proxy") as caught:
            owner(**arguments)
        assert "hunter2" not in str(caught.value)


@OWNERS
def test_repr_shows_the_site_and_no_secret(owner):
    """A repr names the host; no key, and no password of the URL."""
    client = owner("http://user:hunter2@127.0.0.1:9", script_name="tool", api_key="hunter3")
    assert "127.0.0.1:9" in repr(client)
    assert "hunter" not in repr(client)


@OWNERS
def test_constructor_takes_what_shotgun_takes(owner):
    """URL, script name and key go by position; the rest by the names that Shotgun has."""
    client = owner(
        "https://Some-Site/", "tool", "key", http_proxy="me:pw@proxy:3128", sudo_as_login="artist"
    )
    config = client.config
    assert (config.script_name, config.api_key, config.server) == ("tool", "key", "some-site")
    assert (config.proxy_server, config.proxy_port) == ("proxy", 3128)
    assert config.sudo_as_login == "artist"
    assert client.base_url == "https://some-site/"


def test_lease_refuses_what_is_no_time():
    """The limit of a lease is checked, and may be as long as anyone likes."""
    with ShotgunPool(NOWHERE, **KEYS, timeout=float("inf")) as pool:
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            pool.lease("5")
        pool.lease(1e12).release()


FILTERS = [["id", "is", 1]]


@pytest.mark.parametrize("name", ["parallel_find", "batch_writes", "share_reads", "gather_reads"])
def test_switches_are_true_or_false(name):
    """A switch takes no text: the "no" of a settings file would count as true."""
    with pytest.raises(TypeError, match=f"{name} must be True or False, not 'no'"):
        ShotgunExecutor(NOWHERE, **KEYS, **{name: "no"})


def test_options_refuse_a_limit_of_no_time():
    """A timeout of 0 is no limit for the client, so it is refused rather than ignored."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises(ValueError, match="options: timeout must be more than 0 seconds"):
            executor.options(timeout=0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda sg: sg.find(5, FILTERS), "find: entity_type must be a text such as 'Shot', not 5"),
        (lambda sg: sg.find("Shot", {"id": 1}), "find: filters must be a list of conditions"),
        (
            lambda sg: sg.find("Shot", ["id", "is", 1]),
            "each a list of its own: .* not a list of int and str",
        ),
        (lambda sg: sg.find("Shot", "id is 1"), "filters must be a list .*not 'id is 1'"),
        (lambda sg: sg.find_one("Shot", None), r"filters must be .*; \[\] is all, not None"),
        (lambda sg: sg.find("Shot", FILTERS, "code"), r"fields must be .*\['code'\], not 'code'"),
        (lambda sg: sg.find("Shot", FILTERS, fields={"code"}), "fields must be .*not a set"),
        (lambda sg: sg.find("Shot", [], order={"code": "asc"}), "order must be .*not a dict"),
        (lambda sg: sg.find("Shot", [], order=["code"]), "order must be a list such as"),
        (lambda sg: sg.create("Shot", ["code"]), "create: data must be a dict .*not a list"),
        (lambda sg: sg.create("Shot", {}, "code"), "return_fields must be .*not 'code'"),
        (
            lambda sg: sg.update("Shot", None, {}),
            "update: entity_id must be an id or an entity, no",
        ),
        (lambda sg: sg.update("Shot", 1, "rev"), "data must be a dict .*not 'rev'"),
        (lambda sg: sg.delete("Shot", {"id": 1}), "entity_id must be .*which has type and id"),
        (lambda sg: sg.upload("Version", None, "x.mov"), "upload: entity_id must be an id"),
        (lambda sg: sg.batch([["create"]]), "batch: requests must be a list of dicts"),
        (lambda sg: sg.summarize("Shot", None, []), "summarize: filters must be a list"),
        (lambda sg: sg.find_by_ids(5, [1]), "find_by_ids: entity_type must be a text"),
        (lambda sg: sg.find_by_ids("Shot", [1], filters={"id": 1}), "find_by_ids: filters must"),
        (lambda sg: sg.find_by("Shot", ["code"], ["a"]), "find_by: field must be the name"),
        (lambda sg: sg.find_by("Shot", "code", ["a"], order="code"), "find_by: order must be"),
        (lambda sg: sg.find_iter("Shot", [], "code"), "find_iter: fields must be a list of names"),
        (lambda sg: sg.find_iter("Shot", "x"), "find_iter: filters must be a list"),
        (
            lambda sg: sg.upload_thumbnails({"type": "Shot", "id": 1}, "x"),
            "entities must be a list",
        ),
        (lambda sg: sg.publishing(5), "publishing: path must be the path of a file, not 5"),
        (lambda sg: sg.trace(None), "trace: path must be the path of a file, not None"),
        (lambda sg: sg.batching().update("Shot", 1, ["x"]), "update: data must be a dict"),
    ],
)
def test_methods_refuse_what_no_site_takes(call, says):
    """An argument that no site takes is named at once, with what to write, and nothing is sent."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises(TypeError, match=says):
            call(executor)
        assert executor.stats().submitted == 0


def test_steps_refuse_what_no_site_takes():
    """A step of a publish is refused in the same way, and is not in the report."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor, executor.publishing() as publishing:
        item = publishing.item("sh010")
        with pytest.raises(TypeError, match="create: data must be a dict"):
            item.create("Version", "sh010_v001")
        assert [step for item in publishing.report for step in item.steps] == []


def test_errors_about_data_do_not_show_it():
    """What is refused is shown only if it is short: data may be long, or secret."""
    with ShotgunExecutor(NOWHERE, **KEYS) as executor:
        with pytest.raises(TypeError) as caught:
            executor.create("Shot", "hunter2" * 20)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).endswith("not a str")


def test_all_forms_that_a_site_takes_are_taken(sandbox: Sandbox):
    """Tuples, groups, raw conditions, entities for ids, futures and empty values go through."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials) as executor:
        project = executor.create("Project", {"name": "The Lantern Sea"})
        data = {"code": "sh010", "project": project}
        shot = executor.create("Shot", data, ("code",)).result(LONG)
        group = {"filter_operator": "any", "filters": [["id", "is", shot["id"]]]}
        raw = {"logical_operator": "and", "conditions": []}
        calls = [
            executor.find("Shot", (("id", "is", shot["id"]),), ("code",)),
            executor.find("Shot", [group], None, [], limit=1),
            executor.find("Shot", raw, []),
            executor.find_by_ids("Shot", [shot], filters=group),
            executor.find("Shot", [], order=({"field_name": "code", "direction": "asc"},)),
        ]
        assert [len(call.result(LONG)) for call in calls] == [1] * len(calls)
        assert executor.update("Shot", shot, {"code": "x"}).result(LONG)["code"] == "x"
        assert executor.following({"type": "HumanUser", "id": 1}).exception(LONG) is None


def test_own_methods_of_a_subclass_take_what_they_like():
    """A method that a subclass has overridden decides itself what its arguments mean."""

    class Studio(Shotgun):
        def find(self, entity_type, filters, fields=None):
            return [entity_type, filters, fields]

    with ShotgunExecutor(Studio(NOWHERE, connect=False, **KEYS)) as executor:
        assert executor.find(5, "x", "code").result(LONG) == [5, "x", "code"]


SHOT, ASSET = {"type": "Shot", "id": 3}, {"type": "Asset", "id": 3}


def future_of(value):
    future: Future = Future()
    future.set_result(value)
    return future


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("update", ("Shot", ASSET, {"code": "x"})),
        ("delete", ("Shot", ASSET)),
        ("revive", (SHOT, ASSET)),
        ("upload", ("Shot", ASSET, "movie.mov")),
        ("upload_thumbnail", ("Shot", ASSET, "movie.png")),
        ("note_thread_read", (SHOT,)),
    ],
)
def test_entity_of_another_type_is_no_id(sandbox, executor, name, args):
    """It would be the id of another entity, which would be changed: refused, or failed unsent."""
    executor.connect()
    before = len(sandbox.requests)
    with pytest.raises(ValueError, match=rf"{name}: (Asset|Shot) 3 was given as the id of a "):
        getattr(executor, name)(*args)
    done = [future_of(arg) if isinstance(arg, dict) and "id" in arg else arg for arg in args]
    with pytest.raises(ValueError, match="3 was given as the id of a "):
        getattr(executor, name)(*done).result(LONG)
    assert len(sandbox.requests) == before


def test_entity_of_another_type_is_no_id_in_batches_and_publishes(sandbox, executor):
    """Gathered calls, requests of a batch and steps of a publish are no way around that."""
    asset = future_of(ASSET)
    request = {"request_type": "delete", "entity_type": "Shot", "entity_id": asset}
    with executor.batching() as batch:
        with pytest.raises(ValueError, match="Asset 3 was given as the id of a Shot"):
            batch.delete("Shot", ASSET)
        gathered = batch.delete("Shot", asset)
    with executor.publishing() as publishing:
        step = publishing.item("sh010").delete("Shot", asset)
    for future in (gathered, step, executor.batch([request])):
        with pytest.raises(ValueError, match="Asset 3 was given as the id of a Shot"):
            future.result(LONG)
    assert sandbox.counters().writes == 0


@pytest.mark.parametrize("way", ["submit", "call", "map", "map_outcomes"])
def test_what_is_no_function_is_refused_at_once(executor, way):
    """A text, and a method that returns a future, whose future nobody would wait for."""
    with pytest.raises(TypeError, match=f"{way}: the first argument must be a function, not 'fi"):
        getattr(executor, way)("find_one", [1])
    with pytest.raises(TypeError, match=r"give executor\.shotgun\.find_one"):
        getattr(executor, way)(executor.find_one, ["Shot"])


@pytest.mark.parametrize("name", ["max_requests", "max_bytes"])
def test_batching_refuses_no_size(executor, name):
    """None is none: it would be compared with a number much later."""
    with pytest.raises(TypeError, match=f"batching: {name} must be an integer, not None"):
        executor.batching(**{name: None})


def test_sizes_of_bulk_reads_are_numbers(executor):
    """The same for chunks, and for the pages of find_iter."""
    with pytest.raises(TypeError, match="find_by_ids: chunk_size must be an integer, not None"):
        executor.find_by_ids("Shot", [1], chunk_size=None)
    with pytest.raises(TypeError, match="find_iter: ahead must be an integer, not None"):
        executor.find_iter("Shot", [], ahead=None)
    with pytest.raises(TypeError, match="batch_chunks: chunk_size must be an integer, not None"):
        executor.batch_chunks([], chunk_size=None)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e.map(len, ["a"], progress=5), "progress must be True, False or a text"),
        (lambda e: e.map(len, ["a"], timeout="5"), "timeout must be a number of seconds"),
        (lambda e: e.map(len, ["a"], buffersize=True), "buffersize must be an integer"),
        (lambda e: e.map_outcomes(len, ["a"], ordered="no"), "ordered must be True or False"),
        (lambda e: e.publishing(repeat_unknown="no"), "repeat_unknown must be True or False"),
        (lambda e: e.find("Shot", [], timeout=3), r"give options as executor\.options\(timeout="),
    ],
)
def test_arguments_of_our_own_methods_are_checked(executor, call, said):
    """By name, at once."""
    with pytest.raises(TypeError, match=said):
        call(executor)


def test_what_makes_calls_is_refused_after_a_shutdown(executor, tmp_path):
    """Not only by the first call that is made with it."""
    executor.shutdown()
    for make in (
        executor.batching,
        executor.publishing,
        lambda: executor.trace(tmp_path / "t.json"),
    ):
        with pytest.raises(RuntimeError, match="after shutdown"):
            make()


@pytest.mark.parametrize("owner", [ShotgunExecutor, ShotgunPool, ThreadLocalShotgun])
def test_unknown_arguments_are_told_with_the_known_ones(owner):
    """With those of the class itself, and the one that may have been meant."""
    with pytest.raises(TypeError, match=r"'read_time'; did you mean 'read_timeout'\? It takes .*f"):
        owner(NOWHERE, **KEYS, read_time=3)
    with pytest.raises(ValueError, match="script_name goes with api_key, which is empty"):
        owner(NOWHERE, script_name="tool", api_key="")


class Studio(Shotgun):
    """A class whose find takes more than the official one."""

    def find(self, entity_type, filters, *args, **kwargs):
        if isinstance(filters, dict):
            filters = [[name, "is", value] for name, value in filters.items()]
        return super().find(entity_type, filters, *args, **kwargs)


def test_what_a_subclass_understands_is_not_refused(sandbox):
    """Its find is what find_one calls, so that the filters of find_one are its business too."""
    studio = Studio(sandbox.url, **sandbox.credentials, connect=False)
    with ShotgunExecutor(studio) as executor:
        made = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
        found = executor.find_one("Project", {"id": made["id"]}).result(LONG)
        assert found == {"type": "Project", "id": made["id"]}


def test_orders_and_requests_may_be_any_sequence_and_mapping(executor):
    """What the official client takes is not refused for its type."""
    order = deque([UserDict({"field_name": "id", "direction": "desc"})])
    request = UserDict({"request_type": "create", "entity_type": "Project", "data": {"name": "x"}})
    (made,) = executor.batch([request]).result(LONG)
    found = executor.find("Project", [["id", "is", made["id"]]], order=order).result(LONG)
    assert [each["id"] for each in found] == [made["id"]]
