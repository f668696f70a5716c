"""Every RPC method through the unmodified official client.

On old and new sites, with small and large pages, in this process and over HTTP.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox
from shotgun_executor.sandbox.site import Site
from tests.sandbox.site_support import DirectShotgun

pytestmark = pytest.mark.slow

ALL = {
    "info", "read", "create", "update", "delete", "revive", "batch", "summarize",
    "schema_entity_read", "schema_read", "schema_field_read", "schema_field_create",
    "schema_field_update", "schema_field_delete", "follow", "unfollow", "followers", "following",
    "work_schedule_read", "work_schedule_update", "note_thread_contents",
    "query_display_name_cache", "activity_stream", "nav_expand", "nav_search", "export_page",
    "get_session_token", "preferences_read", "update_project_last_accessed_by_current_user",
    "user_subscriptions_read", "user_subscriptions_create",
}  # fmt: skip
ME = {"type": "HumanUser", "id": 1}


def watch(sg: shotgun_api3.Shotgun, seen: set[str]) -> None:
    """Notes the RPC methods that a client calls."""
    call_rpc: Callable[..., Any] = sg._call_rpc

    def noting(method: str, *args: Any, **options: Any) -> Any:
        seen.add(method)
        return call_rpc(method, *args, **options)

    sg._call_rpc = noting


def work(sg: shotgun_api3.Shotgun, *, has_preferences: bool) -> None:
    """Does a day's work that needs every method, and checks each answer."""
    assert sg.info()["version"][0] >= 7
    project = sg.create("Project", {"name": "Show"}, ["name"])
    shots = [sg.create("Shot", {"code": f"s{n}", "project": project}) for n in range(4)]
    requests = [
        {
            "request_type": "create", "entity_type": "Shot",
            "data": {"code": "s4", "project": project},
        },
        {
            "request_type": "update", "entity_type": "Shot", "entity_id": shots[0]["id"],
            "data": {"sg_cut_in": 1001},
        },
        {"request_type": "delete", "entity_type": "Shot", "entity_id": shots[1]["id"]},
    ]  # fmt: skip
    made, changed, gone = sg.batch(requests)
    assert (made["code"], changed["sg_cut_in"], gone) == ("s4", 1001, True)
    assert sg.revive("Shot", shots[1]["id"]) is True
    assert sg.delete("Shot", shots[1]["id"]) is True
    assert sg.update("Shot", shots[2]["id"], {"description": "d"})["description"] == "d"
    everything = sg.find("Shot", [["project", "is", project]], ["code"])
    assert [shot["code"] for shot in everything] == ["s0", "s2", "s3", "s4"]
    assert len(sg.find("Shot", [], limit=3)) == 3
    assert sg.find_one("Shot", [["code", "is", "s3"]])["id"] == shots[3]["id"]
    count = sg.summarize("Shot", [], [{"field": "id", "type": "count"}])
    assert count["summaries"] == {"id": 4}
    see_schema(sg, project)
    see_people(sg, project, shots[0], has_preferences=has_preferences)
    see_views(sg, project, shots[0])


def see_schema(sg: shotgun_api3.Shotgun, project: Any) -> None:
    assert "Shot" in sg.schema_entity_read()
    name = sg.schema_field_create("Shot", "number", "Takes")
    assert sg.schema_field_update("Shot", name, {"visible": False}, project) is True
    assert sg.schema_field_read("Shot", name)[name]["data_type"]["value"] == "number"
    assert sg.schema_read(project)["Shot"][name]["visible"]["value"] is False
    assert sg.schema_field_delete("Shot", name) is True


def see_people(sg: shotgun_api3.Shotgun, project: Any, shot: Any, *, has_preferences: bool) -> None:
    assert sg.follow(ME, shot)["followed"] is True
    assert [each["id"] for each in sg.followers(shot)] == [1]
    assert sg.following(ME) == [{"type": "Shot", "id": shot["id"]}]
    assert sg.unfollow(ME, shot)["unfollowed"] is True
    assert sg.work_schedule_update("2026-05-01", False, "holiday")["working"] is False
    assert sg.work_schedule_read("2026-05-01", "2026-05-01")["2026-05-01"]["working"] is False
    if has_preferences:
        assert sg.preferences_read(["hours_per_day"]) == {"hours_per_day": 8.0}
    else:
        with pytest.raises(shotgun_api3.ShotgunError, match="requires server version"):
            sg.preferences_read()
    sg.update_project_last_accessed(project, ME)
    assert sg.user_subscriptions_create([{"humanUserId": 1, "subscription": "basic"}]) is True
    assert sg.user_subscriptions_read() == [{"humanUserId": 1, "subscription": "basic"}]


def see_views(sg: shotgun_api3.Shotgun, project: Any, shot: Any) -> None:
    note = sg.create("Note", {"subject": "n", "content": "c", "project": project})
    assert sg.note_thread_read(note["id"])[0]["content"] == "c"
    found = sg.text_search("show", {"Project": []})
    assert [match["name"] for match in found["matches"]] == ["Show"]
    assert sg.activity_stream_read("Shot", shot["id"])["updates"][0]["update_type"] == "update"
    assert sg.nav_expand(f"/Project/{project['id']}")["label"] == "Show"
    assert sg.nav_search_string("/", "s4")[0]["label"] == "s4"
    page = sg.create("Page", {"name": "shots", "entity_type": "Shot"})
    text = sg.export_page(page["id"], "csv")
    assert (text if isinstance(text, str) else text.decode()).startswith("Id,Shot Code,Status\n")
    assert len(sg.get_session_token()) == 32


@pytest.fixture(params=[((7, 4, 0), 3), ((7, 4, 0), 500), ((8, 89, 0), 3), ((8, 89, 0), 500)])
def some_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Sites old and new, with pages of 3 and of 500."""
    version, size = request.param
    site = Site(version=version, api_max_entities_per_page=size)
    yield site
    site.close()


def test_every_method_works_on_old_and_new_sites(some_site: Site) -> None:
    """A program that uses all of the API runs unchanged, whatever the version and page size."""
    seen = {"info"}
    sg = DirectShotgun(some_site)
    watch(sg, seen)
    has_preferences = some_site.version >= (7, 10, 0)
    work(sg, has_preferences=has_preferences)
    assert seen == ALL - (set() if has_preferences else {"preferences_read"})


# Each pair of the four kinds' values is among these.
KINDS = [
    (tls, direct, version, size)
    for tls in (False, True)
    for direct, version, size in [
        (True, (8, 89, 0), 500),
        (True, (7, 4, 0), 3),
        (False, (8, 89, 0), 3),
        (False, (7, 4, 0), 500),
    ]
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client leaves files open
@pytest.mark.parametrize(("tls", "direct", "version", "size"), KINDS)
def test_every_method_works_on_each_kind_of_site(
    tls: bool,
    direct: bool,
    version: tuple[int, int, int],
    size: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The same program runs against servers of all kinds, and each call carried its name."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    seen = {"info"}
    expected = ALL - (set() if version >= (7, 10, 0) else {"preferences_read"})
    with Sandbox(
        tls=tls, s3_direct_uploads=direct, version=version, api_max_entities_per_page=size
    ) as sandbox:
        sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        watch(sg, seen)
        work(sg, has_preferences=version >= (7, 10, 0))
        assert seen == expected
        assert set(sandbox.counters().requests) == expected
        exchange_files(sg, tmp_path)
        used = set(sandbox.counters().requests) - expected
        assert used == (STORAGE_ROUTES if direct else FORM_ROUTES) | {"file_serve", "storage_get"}
        sg.close()
        assert sandbox.counters().internal_errors == 0


STORAGE_ROUTES = {"api_get_upload_link_info", "storage_put", "api_link_file", "share_thumbnail"}
FORM_ROUTES = {"upload_file", "publish_thumbnail", "share_thumbnail"}


def exchange_files(sg: shotgun_api3.Shotgun, folder: Path) -> None:
    """Sends a file and thumbnails, and reads them back."""
    project = sg.find_one("Project", [])
    versions = [sg.create("Version", {"code": code, "project": project}) for code in ("1", "2")]
    path = folder / "frame.png"
    path.write_bytes(b"pixels")
    made = sg.upload("Version", versions[0]["id"], str(path), "sg_uploaded_movie")
    assert sg.download_attachment(made) == b"pixels"
    sg.upload_thumbnail("Version", versions[0]["id"], str(path))
    sg.find_one("Version", [["id", "is", versions[0]["id"]]], ["image"])  # reads as transient once
    sg.share_thumbnail(versions[1:], source_entity=versions[0])
    for version in versions:
        image = sg.find_one("Version", [["id", "is", version["id"]]], ["image"])["image"]
        assert image.startswith(sg.base_url)
        with sg._build_opener(urllib.request.HTTPHandler).open(image, timeout=20) as answer:
            assert answer.read() == b"pixels"


def test_method_of_a_newer_site_is_refused() -> None:
    """The site itself keeps to its version, whatever the client lets through."""
    site = Site(version=(7, 4, 0))
    sg = DirectShotgun(site)
    with pytest.raises(shotgun_api3.Fault, match=r"needs version 7\.10\.0"):
        sg._call_rpc("preferences_read", {"prefs": []})
    site.close()
