from __future__ import annotations

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
