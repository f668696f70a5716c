"""Decoding: the same values as the official client's, whatever the site answers."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import shotgun_api3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shotgun_api3 import Shotgun
from shotgun_api3.shotgun import SG_TIMEZONE, ClientCapabilities

from shotgun_executor import ShotgunExecutor, ShotgunPool, decode
from shotgun_executor.sandbox import Sandbox

pytestmark = pytest.mark.slow

ORIGINALS = {name: getattr(decode, name) for name in ("decoded", "parse_records")}


@pytest.fixture(autouse=True)
def decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests do themselves what all others have done for them."""
    for name, function in ORIGINALS.items():
        monkeypatch.setattr(decode, name, function)


JSON = {"content-type": "application/json; charset=utf-8"}
LIBRARIES = ["orjson", "json"]
FIXTURE = HealthCheck.function_scoped_fixture  # the one below is the same for each example


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With orjson, and as if it were not installed."""
    if request.param == "json":
        monkeypatch.setattr(decode, "orjson", None)
    elif decode.orjson is None:
        pytest.skip("orjson is not installed")
    return str(request.param)


def client(cls: type = Shotgun, *, utc: bool = True) -> Any:
    """A client that was never connected."""
    made = object.__new__(cls)
    made.config = SimpleNamespace(convert_datetimes_to_utc=utc)
    made.client_caps = ClientCapabilities()
    made._server_caps = None
    return made


def official(body: object, *, utc: bool = True) -> Any:
    """What the official client makes of an answer, by its own methods."""
    sg = client(utc=utc)
    answer = sg._decode_response(JSON, body)
    sg._response_errors(answer)
    return sg._transform_inbound(answer)


def ours(body: object, *, utc: bool = True) -> Any:
    """What we make of it."""
    sg = client(decode.OwnDecoding, utc=utc)
    assert decode.decodes_as_official(sg)
    return decode.decoded(sg, JSON, body)


def outcome(function: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """What a call returns or raises, so that it can be compared: repr knows types and objects."""
    try:
        return "returned", repr(function(*args, **kwargs))
    except Exception as error:
        return type(error).__qualname__, str(error)


def assert_same(body: object) -> None:
    """Both make the same of *body*, with dates converted to local time and without."""
    for utc in (True, False):
        assert outcome(ours, body, utc=utc) == outcome(official, body, utc=utc)


DATES = st.one_of(
    st.datetimes().map(lambda date: f"{date.isoformat(timespec='seconds')}Z"),
    st.from_regex(
        r"[0-9]{4}.?[0-9]{2}.?[0-9]{2}[ Tt][0-9]{2}.?[0-9]{2}.?[0-9]{2}.?", fullmatch=True
    ),
    st.from_regex(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\dZ", fullmatch=True),
    st.text(min_size=20, max_size=20),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=-(2**70), max_value=2**70),
        st.floats(),
        st.text(),
        st.text(st.characters(), max_size=3).map(lambda text: f"&lt;{text}&lt"),
        DATES,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.text(), DATES), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=300, deadline=None, suppress_health_check=[FIXTURE])
@given(VALUES, st.booleans())
@example({"results": {"a": "2026-07-01T10:00:00Z", "b": [["2026-07-01T10:00:00Z"]]}}, True)
def test_any_json_is_decoded_as_by_the_official_client(library, value, ascii_only):
    """Whatever JSON a site answers, the values are the same to type, order and time zone."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        if library == "json":
            patch.setattr(decode, "orjson", None)
        assert_same(text.encode("utf-8", "surrogatepass"))


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["type", "at", "Z", "2026-07-01T10:00:00Z"]),
        st.one_of(
            st.sampled_from(
                [
                    None,
                    3,
                    "z",
                    "Jazz",
                    "it's 2026-07-01T10:00",
                    "2026-07-01T10:00:00Z",
                    "2026-02-30T10:00:00Z",
                    '"2026-07-01T10:00:00Z"',
                    "2026-07-01t10:00:00z",
                ]
            ),
            st.fixed_dictionaries({"at": DATES}),
            st.lists(DATES, max_size=1),
            DATES,
        ),
    ),
    max_size=3,
)
ANSWERS = st.one_of(
    st.fixed_dictionaries(
        {"results": st.fixed_dictionaries({"entities": ROWS}, optional={"x": DATES})}
    ),
    st.fixed_dictionaries({"results": ROWS}, optional={"x": DATES}),
    st.fixed_dictionaries({"results": ROWS.map(lambda rows: rows[0] if rows else None)}),
)


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=400, deadline=None, suppress_health_check=[FIXTURE])
@given(ANSWERS, st.booleans())
def test_answers_of_records_are_decoded_as_by_the_official_client(library, answer, ascii_only):
    """Dates in fields, and deeper in, where they are only looked for if there may be any."""
    with pytest.MonkeyPatch.context() as patch:
        if library == "json":
            patch.setattr(decode, "orjson", None)
        assert_same(json.dumps(answer, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


RECORDS = st.lists(
    st.one_of(
        st.dictionaries(
            st.sampled_from(["type", "id", "image", "code", "file", "x"]),
            st.one_of(
                VALUES,
                st.just("a &lt; b &amp;lt;"),
                st.fixed_dictionaries(
                    {"link_type": st.sampled_from(["local", "web", None])},
                    optional={
                        f"local_path_{system}": st.sampled_from(["/a", "", None, 3])
                        for system in ("linux", "mac", "windows")
                    },
                ),
            ),
        ),
        st.none(),
        st.lists(st.integers(), max_size=2),
    ),
    max_size=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[FIXTURE])
@given(RECORDS, st.sampled_from([None, (2, 4, 0), (3, 2, 9), (3, 3, 0), (8, 89, 0)]))
def test_records_are_parsed_as_by_the_official_client(records, version):
    """Local files, thumbnails and `&lt;` come out the same, on sites of any age."""

    def parsed(cls: type) -> Any:
        class Site(cls):
            server_caps = SimpleNamespace(version=version)

            def _build_thumb_url(self, entity_type, entity_id):
                return f"thumb of {entity_type} {entity_id}"

        mine = copy.deepcopy(records)
        result = outcome(client(Site)._parse_records, mine)
        return result, (repr(mine) if result[0] == "returned" else None)

    assert parsed(decode.OwnDecoding) == parsed(Shotgun)


class Text(str):
    """A string of a user."""


class Link(dict):
    """A dictionary of a user."""


@pytest.mark.parametrize(
    "records",
    [
        None,
        [],
        (),
        {},
        {"code": "&lt;"},
        ({"code": "&lt;"},),
        [{"code": Text("a"), "none": Text("")}],
        [Link(code=Text("&lt;"), file=Link(link_type="local", local_path_linux="/a"))],
        ["&lt;", 3, None, [{"code": "&lt;"}]],
        [True, {"code": "&lt;"}],
    ],
    ids=repr,
)
def test_records_of_any_type_are_parsed_as_by_the_official_client(records):
    """Also what no site answers, but a class of the user may hand on."""
    expected = client()._parse_records(copy.deepcopy(records))
    found = client(decode.OwnDecoding)._parse_records(copy.deepcopy(records))
    assert repr(found) == repr(expected)
    if expected and isinstance(expected[0], dict):
        assert [type(value) for value in found[0].values()] == [
            type(value) for value in expected[0].values()
        ]


def test_records_are_changed_where_they_are():
    """The list that comes back is the one that was given, as with the official client."""
    records = [{"code": "&lt;"}]
    assert client(decode.OwnDecoding)._parse_records(records) is records
    assert records == [{"code": "<"}]


BODIES = [
    b"",
    b" ",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b'"2026-07-01T10:00:00Z"',
    b'["2026-07-01T10:00:00Z"]',
    b"[NaN, Infinity, -Infinity]",
    b"[nan]",
    b"[1e400, -1e400, 1e-400, 0.1, 5e-324, 2.5e15, 1E5, 1.0]",
    b"[-0, -0.0, 0]",
    b"[01]",
    b"[1.]",
    b"[9223372036854775807, 9223372036854775808, -9223372036854775808, -9223372036854775809]",
    b"[18446744073709551615, 18446744073709551616, 1" + b"0" * 400 + b"]",
    b"[0.1" + b"0123456789" * 5 + b", 1234567890123456789012.5]",
    b"[" + b"1" * 5000 + b"]",
    b'{"a": 1, "b": 2, "a": "2026-07-01T10:00:00Z"}',
    b'["\\ud800", "\\udc00", "\\ud83d\\ude00"]',
    b'["\\u0032026-07-01T10:00:00Z", "\\/", "\\u0000"]',
    b'["\xed\xa0\x80"]',
    b'["\xff"]',
    b'["a\nb"]',
    b'["\x7f"]',
    b'{"a": 1,}',
    b"[1] x",
    b"{'a': 1}",
    b'{"a"',
    b"<html>down</html>",
    b"\xef\xbb\xbf[1]",
    '["2026-07-01T10:00:00Z", "ä"]'.encode("utf-16"),
    '["2026-07-01T10:00:00Z"]'.encode("utf-32-le"),
    '{"results": [{"at": "2026-07-01T10:00:00Z"}]}'.encode("utf-16-le"),
    '{"results": {"at": "2026-07-01T10:00:00Z"}}'.encode("utf-32"),
    b'{"results": [{"at": "2026-07-01T10:00:00Z", "at": [["2026-07-01T10:00:00Z"]]}]}',
    b'{"results": [{"at": [["2026-07-01T10:00:00Z"]], "at": "2026-07-01T10:00:00Z"}]}',
    bytearray(b'["2026-07-01T10:00:00Z"]'),
    '["2026-07-01T10:00:00Z", "\ud800"]',
    "\ufeff[1]",
    "not JSON",
    b"[" * 100 + b'"2026-07-01T10:00:00Z"' + b"]" * 100,
    b"[" * 100_000,
    b'{"exception": true, "error_code": 102, "message": "2026-07-01T10:00:00Z"}',
    b'{"exception": true, "error_code": 106}',
    b'{"exception": true, "error_code": 108}',
    b'{"exception": true, "error_code": 110}',
    b'{"exception": true, "error_code": 18446744073709551616, "message": {"a": NaN}}',
    b'{"exception": true}',
    b'{"exception": false, "results": 3}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:40])
def test_odd_bodies_are_decoded_as_by_the_official_client(library, body):
    """Odd numbers, text and encodings, broken JSON and errors: same values, same errors."""
    assert_same(body)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"1234567890123456789", True),
        (b"-1234567890123456789", True),
        (b"[123456789012345678]", False),
        (b"[0.12345678901234567890123]", False),
        (b"[0.12345678901234567890123, 12345678901234567890]", True),
        (b"[0.1234567890123456789", False),
        (b'{"at": 1234567890.1234567890123456789}', False),
    ],
)
def test_long_numbers_are_told_from_decimals(text, found):
    """What orjson would round goes to the standard library; floats, which it does not, stay."""
    assert decode._has_long_number(text.translate(decode._SHAPES)) is found


def test_broken_json_raises_the_error_of_the_standard_library(library):
    """Nothing tells that something else was tried before."""
    with pytest.raises(json.JSONDecodeError) as expected:
        official(b"[1,")
    with pytest.raises(json.JSONDecodeError) as raised:
        ours(b"[1,")
    assert type(raised.value) is json.JSONDecodeError
    assert raised.value.__suppress_context__ == expected.value.__suppress_context__
    assert type(raised.value.__context__) is type(expected.value.__context__)


@pytest.mark.parametrize("content_type", ["text/csv", "TEXT/JavaScript; x", "", None])
def test_content_type_decides_what_is_json(library, content_type):
    """A page that was exported comes as it is; without a content type it is JSON."""
    headers = {"content-type": content_type} if content_type is not None else {}
    body = b'["2026-07-01T10:00:00Z"]'
    sg = client()
    expected = sg._transform_inbound(sg._decode_response(headers, body))
    assert repr(decode.decoded(client(decode.OwnDecoding), headers, body)) == repr(expected)


ODD_DATES = [
    "2026-02-29T00:00:00Z",
    "2024-02-29T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T23:60:00Z",
    "2026-01-01T23:59:60Z",
    "2016-12-31T23:59:60Z",
    "2026-01-01T23:59:59z",
    "2026-01-01t23:59:59Z",
    "2026-01-01 23:59:59Z",
    "2026-01-01T23:59:59 ",
    "2026-01-01T23:59:59\n",
    "2026-01-01T23-59-59Z",
    "2026/01/01T23:59:59Z",
    "2026-W01-1T23:59:59Z",
    "2026-01- 1T23:59:59Z",
    "2026-1-01T023:59:59Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-02T12:00:00Z",
    "0999-06-01T12:00:00Z",
    "1600-02-29T12:00:00Z",
    "1883-11-18T12:03:58Z",
    "1901-12-13T20:45:52Z",
    "1945-04-02T02:30:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "2038-01-19T03:14:08Z",
    "2106-02-07T06:28:16Z",
    "9999-12-31T23:59:59Z",
    "\u0662\u0660\u0662\u0666-01-01T00:00:00Z",
    "2026-01-1\u0661T0\u0660:00:00Z",
    "\uff12026-01-01T00:00:00Z",
    "20260101T000000.000Z",
    "just twenty letters!",
    "2026-01-01T00:00:00",
    "2026-01-01",
]


@pytest.mark.parametrize("text", ODD_DATES)
def test_odd_dates_are_decoded_as_by_the_official_client(text):
    """What looks like a date and is none stays text; what is beyond any clock fails the same."""
    body = json.dumps([text, {"at": text}, {text: text}]).encode()
    assert_same(body)
    assert_same(body)  # what was learned at the first time does no harm


def test_dates_have_the_time_zone_of_the_client():
    """It is the very object, and naive if the client does not convert."""
    body = b'{"at": "2026-07-01T10:00:00Z"}'
    for _ in range(2):
        assert ours(body)["at"].tzinfo is SG_TIMEZONE.local
        assert ours(body, utc=False)["at"].tzinfo is None


ZONES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Auckland",
    "EST5EDT,M3.2.0/0,M11.1.0/0",
    "XXX-14",
    "XXX+11:30YYY+9:30,J60/22,J300/23",
]
"""With halves and quarters of hours, with changes of half an hour and of two, at midnight, none."""

COMPARE_YEAR = """
    import json, sys
    from datetime import datetime, timedelta
    from types import SimpleNamespace
    from shotgun_api3.shotgun import SG_TIMEZONE, Shotgun
    from shotgun_executor import decode

    def client(cls):
        made = object.__new__(cls)
        made.config = SimpleNamespace(convert_datetimes_to_utc=True)
        return made

    official, own = client(Shotgun), client(decode.OwnDecoding)

    def compare(moments):
        texts = [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in moments]
        days = decode._calendar(own).days
        for text in texts:
            # One after the other: in the hour that is there twice, the C library answers
            # by what it was asked before.
            ours = decode.convert(own, [text], None)[0]
            theirs = official._transform_inbound(text)
            assert repr(ours) == repr(theirs), (text, ours, theirs)
            assert ours.utcoffset() == theirs.utcoffset()
            assert ours.fold == theirs.fold
        return sum(days[text[:10]] is None for text in texts)

    odd = 0
    for year in (1974, 2011, 2026):
        odd += compare(datetime(year, 1, 1) + timedelta(hours=3 * n) for n in range(2920))
    for edge in json.loads(sys.argv[1]):
        start = datetime.fromisoformat(edge)
        odd += compare(start + timedelta(minutes=7 * n, seconds=n % 60) for n in range(-300, 300))
    changes = bool(SG_TIMEZONE.DSTDIFF)  # none in zones that the official client gets wrong
    assert bool(odd) == changes  # days around a change are not taken for regular ones
"""


def edges(zone: str) -> list[str]:
    """When the clock of *zone* is changed in 2026, in UTC, as far as the system knows."""
    script = """
        import time
        from datetime import datetime, timedelta, timezone
        start, last = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp(), None
        for hour in range(365 * 24):
            now = time.localtime(start + hour * 3600).tm_gmtoff
            if last not in (None, now):
                print(datetime.fromtimestamp(start + hour * 3600, timezone.utc).isoformat()[:19])
            last = now
    """
    return run(script, zone).split()


def run(script: str, zone: str, *args: str) -> str:
    """What *script* prints in a process of that time zone."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *args],
        env={**os.environ, "TZ": zone},
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system takes no zone from TZ")
@pytest.mark.parametrize("zone", ZONES)
def test_dates_are_the_same_around_each_change_of_the_clock(zone):
    """Years in steps, and minutes around each change, in zones of all kinds."""
    run(COMPARE_YEAR, zone, json.dumps(edges(zone)))


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system takes no zone from TZ")
def test_dates_follow_a_change_of_the_time_zone():
    """A process that changes its zone reads dates as the official client does from then on."""
    script = """
        import os, time
        from tests.test_decode import ours, official
        body = repr([f"2026-{month:02}-15T10:00:00Z" for month in range(1, 13)])
        body = body.replace("'", '"').encode()
        seen = set()
        for zone in ("America/New_York", "Australia/Sydney", "UTC", "America/New_York"):
            os.environ["TZ"] = zone
            time.tzset()
            for _ in range(2):
                assert repr(ours(body)) == repr(official(body)), zone
            seen.add(str(ours(body)))
        print(len(seen))
    """
    assert run(script, "America/New_York").strip() == "3"


def test_days_that_are_remembered_are_few(monkeypatch):
    """Memory is bounded, whatever dates are read."""
    monkeypatch.setattr(decode, "_MOST_DAYS", 5)
    texts = [f"2026-01-{day:02}T10:00:00Z" for day in range(1, 29)]
    for _ in range(2):
        assert_same(json.dumps(texts).encode())
        assert len(decode._calendar(client()).days) <= 28
    decode._calendars.clear()
    assert_same(json.dumps(texts).encode())
    assert len(decode._calendar(client()).days) <= 5


def _loads(self, body):
    return ["of the user", *json.loads(body)]


def _visit(self, data, visitor):
    return ("visited", data)


CHANGES = {
    "_json_loads": _loads,
    "_visit_data": _visit,
    "_transform_inbound": lambda self, data: ("transformed", data),
    "_decode_response": lambda self, headers, body: [str(body)],
    "_response_errors": lambda self, response: response.append("seen"),
    "_DATE_TIME_PATTERN": SimpleNamespace(match=lambda text: None),
}


@pytest.mark.parametrize("where", ["class", "instance", "Shotgun"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_user_changes_is_kept(monkeypatch, name, where):
    """A step that the user's class, an instance or a patch of Shotgun replaces is still taken."""
    body = b'["2026-07-01T10:00:00Z"]'
    changed = CHANGES[name]

    def made(cls: type) -> Any:
        if where == "Shotgun":
            monkeypatch.setattr(Shotgun, name, changed)
            return client(cls)
        if where == "class":
            return client(type("Studio", (cls,), {name: changed}))
        sg = client(cls)
        setattr(sg, name, changed.__get__(sg) if callable(changed) else changed)
        return sg

    sg = made(Shotgun)
    answer = sg._decode_response(JSON, body)
    sg._response_errors(answer)
    expected = sg._transform_inbound(answer)
    own = made(decode.OwnDecoding)
    assert not decode.decodes_as_official(own)
    assert repr(decode.decoded(own, JSON, body)) == repr(expected)


def test_what_a_user_keeps_of_an_answer_is_not_changed():
    """A class that looks at the answer before its dates are made holds what came."""

    class Studio(decode.OwnDecoding):
        def _response_errors(self, sg_response):
            self.seen = sg_response
            super()._response_errors(sg_response)

    sg = client(Studio)
    decode.decoded(sg, JSON, b'{"at": "2026-07-01T10:00:00Z"}')
    assert sg.seen == {"at": "2026-07-01T10:00:00Z"}


# Over real sockets.


def fill(sandbox: Sandbox) -> None:
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        project = sg.create("Project", {"name": "Größe 北"})
        for number in range(5):
            sg.create(
                "Shot",
                {
                    "project": project,
                    "code": f"sh{number:03} a < b &lt; \U0001f600",
                    "description": "2026-07-01T10:00:00Z",
                    "sg_cut_in": 1001,
                },
            )
        sg.create("Version", {"project": project, "code": "v1", "description": "&lt;"})


FIELDS = ["code", "description", "project", "created_at", "updated_at", "created_by", "sg_cut_in"]


@pytest.mark.parametrize("utc", [True, False])
@pytest.mark.parametrize("cls", [ShotgunExecutor, ShotgunPool])
def test_finds_return_what_the_official_client_returns(sandbox, library, cls, utc):
    """Over a socket: the same records, to the type and the time zone."""
    fill(sandbox)
    plain = Shotgun(sandbox.url, convert_datetimes_to_utc=utc, **sandbox.credentials)
    with cls(sandbox.url, convert_datetimes_to_utc=utc, **sandbox.credentials) as ours:
        sg = ours.shotgun if cls is ShotgunExecutor else ours
        for kind in ("Shot", "Version", "Project", "HumanUser"):
            expected = plain.find(kind, [], FIELDS)
            assert repr(sg.find(kind, [], FIELDS)) == repr(expected)
            assert repr(sg.find_one(kind, [], FIELDS)) == repr(plain.find_one(kind, [], FIELDS))
        assert repr(sg.schema_read()) == repr(plain.schema_read())
        summary = ("Shot", [], [{"field": "id", "type": "count"}])
        assert repr(sg.summarize(*summary)) == repr(plain.summarize(*summary))
        for client in (sg, plain):
            with pytest.raises(shotgun_api3.Fault, match="doesn't exist"):
                client.find("Shot", [["nothing", "is", 1]])
    plain.close()


def test_classes_of_users_are_asked_over_a_socket(sandbox):
    """Toolkit's way, a _call_rpc around ours, and a class with dates of its own both work."""

    class Toolkit(Shotgun):
        def _call_rpc(self, *args, **kwargs):
            return super()._call_rpc(*args, **kwargs)

        def _transform_inbound(self, data):
            return super()._transform_inbound({"results": ["mine", data["results"]]})

    fill(sandbox)
    toolkit = Toolkit(sandbox.url, connect=False, **sandbox.credentials)
    with ShotgunPool(toolkit) as sg:
        with sg.lease() as leased:
            mine, answer = leased._call_rpc("read", _READ)
        assert mine == "mine"
        assert answer["entities"][0]["created_at"].tzinfo is SG_TIMEZONE.local


_READ = {
    "type": "Shot",
    "return_fields": ["created_at"],
    "filters": {"logical_operator": "and", "conditions": []},
    "return_only": "active",
    "paging": {"entities_per_page": 5, "current_page": 1},
}


def _lines(caplog: pytest.LogCaptureFixture, call: Any) -> list[str]:
    """What *call* logs; without what differs by client: the headers of a request."""
    caplog.clear()
    call()
    lines = [record.getMessage() for record in caplog.records if record.name == "shotgun_api3"]
    return [line for line in lines if " headers are " not in line]


def test_log_lines_are_those_of_the_official_client(sandbox, caplog):
    """At DEBUG each line is there, the same but for secrets, which the official client prints."""
    plain = Shotgun(sandbox.url, **sandbox.credentials)
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        calls = [
            lambda sg: sg.find("Project", [["name", "is_not", "ä"]], ["name", "created_at"]),
            lambda sg: sg.find_one("HumanUser", [["login", "is", "x"]]),
            lambda sg: sg.schema_field_read("Shot", "code"),
        ]
        for call in calls:
            call(sg)  # asks the site what it is, once
        caplog.set_level("DEBUG", logger="shotgun_api3")
        for call in calls:
            expected = _lines(caplog, lambda call=call: call(plain))
            found = _lines(caplog, lambda call=call: call(sg))
            assert len(expected) == 6
            assert found == [line.replace(sandbox.api_key, "***") for line in expected]
            assert any("***" in line for line in found)
            assert sum(" headers are " in record.getMessage() for record in caplog.records) == 2
    plain.close()


def test_log_shows_no_secret_of_requests_and_answers(sandbox, caplog):
    """Neither passwords, also in filters and values, nor tokens that the site hands out."""
    caplog.set_level("DEBUG", logger="shotgun_api3")
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        token = sg.get_session_token()
        with pytest.raises(shotgun_api3.Fault):
            sg.find("HumanUser", [["password_proxy", "is", "hunter2"]])
        with pytest.raises(shotgun_api3.Fault):
            sg.update("HumanUser", 10_000, {"password_proxy": "hunter2"})
    assert "get_session_token" in caplog.text
    for secret in (sandbox.api_key, token, "hunter2"):
        assert secret not in caplog.text


def test_log_lines_are_not_made_for_nobody(sandbox, monkeypatch, caplog):
    """Nothing is formatted or redacted unless it is printed."""

    def never(value: object) -> None:
        raise AssertionError("a line was made that nobody prints")

    monkeypatch.setattr("shotgun_executor.wirelog.redacted", never)
    caplog.set_level("INFO", logger="shotgun_api3")  # the watch over the tests listens to all
    with ShotgunPool(sandbox.url, **sandbox.credentials) as sg:
        assert sg.find("Shot", []) == []


def test_package_works_without_orjson(sandbox):
    """Blocked from being imported, it is not missed."""
    script = f"""
        import sys
        sys.modules["orjson"] = None
        from shotgun_executor import ShotgunPool, decode
        assert decode.orjson is None
        with ShotgunPool({sandbox.url!r}, **{sandbox.credentials!r}) as sg:
            made = sg.create("Project", {{"name": "p"}}, return_fields=["created_at"])
        print(type(made["created_at"]).__name__)
    """
    assert run(script, os.environ.get("TZ", "UTC")).strip() == "datetime"


def test_decoding_costs_a_fraction_of_the_official_clients(library):
    """A page takes well under a third of the time; it is about an eighth on a quiet machine."""
    body = json.dumps(
        {
            "results": [
                {
                    "type": "Shot",
                    "id": number,
                    "created_at": f"2026-01-{number % 28 + 1:02}T10:00:00Z",
                    "updated_at": f"2026-02-{number % 28 + 1:02}T10:00:00Z",
                    "project": {"type": "Project", "id": 1, "name": "Demo"},
                    "assets": [{"type": "Asset", "id": n, "name": "a"} for n in range(5)],
                }
                for number in range(300)
            ]
        }
    ).encode()

    def cost(function: Any) -> float:
        times = []
        for _ in range(5):
            start = time.thread_time()
            function(body)
            times.append(time.thread_time() - start)
        return min(times)

    assert cost(ours) < cost(official) / 3
