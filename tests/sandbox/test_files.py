"""Files through the unmodified official client: every route, on each kind of site."""

from __future__ import annotations

import datetime
import inspect
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import pytest
import shotgun_api3

from shotgun_executor.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# The official client leaves the files open that it sends in forms.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def noise(seed: int, size: int) -> bytes:
    """Bytes that are the same each time."""
    return random.Random(seed).randbytes(size)


PNG = b"\x89PNG\r\n\x1a\n" + noise(1, 5000)


CREATED_AT = "created_at" in inspect.signature(shotgun_api3.Shotgun.upload).parameters
"""Whether this version of the official client can say when a file was made."""


class Kind(NamedTuple):
    """A kind of site."""

    tls: bool
    direct: bool
    page_size: int
    version: tuple[int, int, int]


class Place:
    """A client on a fresh site with a version, and files to upload."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        sandbox.clear()
        self.sandbox = sandbox
        self.folder = folder
        self.sg: Any = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
        self.project = self.sg.create("Project", {"name": "Tidewater"})
        self.version = self.new_version("v001")

    def new_version(self, code: str) -> dict[str, Any]:
        record = self.sg.create("Version", {"code": code, "project": self.project})
        return {"type": "Version", "id": record["id"]}

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def read(self, field: str, version: Optional[dict[str, Any]] = None) -> Any:
        wanted = (version or self.version)["id"]
        return self.sg.find_one("Version", [["id", "is", wanted]], [field])[field]

    def fetch(self, url: str) -> tuple[bytes, str]:
        """The bytes behind a URL, and their type."""
        with self.sg._build_opener(urllib.request.HTTPHandler).open(url, timeout=20) as answer:
            return answer.read(), answer.headers["Content-Type"]


@pytest.fixture(
    scope="module",
    params=[
        Kind(tls=False, direct=True, page_size=500, version=(8, 89, 0)),
        Kind(tls=False, direct=False, page_size=3, version=(7, 4, 0)),
        Kind(tls=True, direct=True, page_size=3, version=(8, 89, 0)),
        Kind(tls=True, direct=False, page_size=500, version=(7, 4, 0)),
    ],
    ids=lambda kind: f"{'https' if kind.tls else 'http'}-{'s3' if kind.direct else 'form'}",
)
def kind_of_site(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, Kind]]:
    """One sandbox of each kind for all tests of this file."""
    kind: Kind = request.param
    with Sandbox(
        tls=kind.tls,
        s3_direct_uploads=kind.direct,
        api_max_entities_per_page=kind.page_size,
        version=kind.version,
    ) as sandbox:
        yield sandbox, kind
        assert sandbox.log() == ""


@pytest.fixture
def place(
    kind_of_site: tuple[Sandbox, Kind], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A fresh site of each kind."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    place = Place(kind_of_site[0], tmp_path)
    yield place
    place.sg.close()
    assert place.sandbox.counters().internal_errors == 0


def routes(place: Place) -> list[str]:
    """The file routes that were used since the last clear, each once."""
    methods = [request.method for request in place.sandbox.requests]
    return list(dict.fromkeys(method for method in methods if "_" in method or "upload" in method))


def test_upload_goes_into_a_file_field(place: Place, kind_of_site: tuple[Sandbox, Kind]) -> None:
    """upload() fills the field, makes an Attachment with what is known of the file, and logs it."""
    content = noise(2, 100_000)
    path = place.file("Ünïcode movie.mov", content)
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
    made = place.sg.upload(
        *("Version", place.version["id"], path, "sg_uploaded_movie"),
        display_name="A movie",
        tag_list="red,blue",
        **({"created_at": moment} if CREATED_AT else {}),
    )
    movie = place.read("sg_uploaded_movie")
    assert movie == {
        "type": "Attachment",
        "id": made,
        "name": "A movie",
        "url": f"{place.sandbox.url}/file_serve/attachment/{made}",
        "link_type": "upload",
        "content_type": "video/quicktime",
    }
    fields = ["this_file", "attachment_links", "file_size", "tag_list", "filename", "project"]
    attachment = place.sg.find_one("Attachment", [["id", "is", made]], [*fields, "created_at"])
    assert attachment["this_file"] == movie
    assert attachment["file_size"] == 100_000
    assert attachment["tag_list"] == ["red", "blue"]
    assert attachment["filename"] == "Ünïcode movie.mov"
    assert attachment["project"]["id"] == place.project["id"]
    assert [link["id"] for link in attachment["attachment_links"]] == [place.version["id"]]
    assert not CREATED_AT or attachment["created_at"] == moment
    logged = [e["event_type"] for e in place.sg.find("EventLogEntry", [], ["event_type"])]
    assert logged[-2:] == ["Shotgun_Attachment_New", "Shotgun_Version_Change"]
    wanted = ["api_get_upload_link_info", "storage_put", "api_link_file"]
    assert routes(place) == (wanted if kind_of_site[1].direct else ["upload_file"])


def test_uploaded_file_can_be_downloaded(place: Place) -> None:
    """download_attachment() gives back the bytes, by field value, id or link, to memory or disk."""
    content = noise(3, 700_001)
    path = place.file("movie.mov", content)
    made = place.sg.upload("Version", place.version["id"], path, "sg_uploaded_movie")
    movie = place.read("sg_uploaded_movie")
    assert place.sg.get_attachment_download_url(movie) == movie["url"]
    link = {"type": "Attachment", "id": made}
    assert place.sg.get_attachment_download_url(link) == movie["url"]
    for given in (movie, made, link):
        assert place.sg.download_attachment(given) == content
    target = place.folder / "back.mov"
    assert place.sg.download_attachment(movie, file_path=str(target)) == str(target)
    assert target.read_bytes() == content


def test_unknown_attachment_cannot_be_downloaded(place: Place) -> None:
    """An attachment that is not there, or is retired, has the status 400, as on a live site."""
    made = place.sg.upload("Version", place.version["id"], place.file("a.txt", b"text"))
    place.sg.delete("Attachment", made)
    web = place.sg.create("Attachment", {"this_file": {"url": "https://example.com/x"}})["id"]
    for number in (made, web, 10**15):
        with pytest.raises(shotgun_api3.ShotgunFileDownloadError, match="400"):
            place.sg.download_attachment(number)


def test_file_without_a_field_is_linked(place: Place) -> None:
    """upload() without a field links the file to the entity: a note has it as attachment."""
    note = place.sg.create("Note", {"subject": "Look", "project": place.project})
    first = place.sg.upload("Note", note["id"], place.file("a.txt", b"text"))
    second = place.sg.upload("Note", note["id"], place.file("b.txt", b"text"), "attachments")
    found = place.sg.find_one("Note", [["id", "is", note["id"]]], ["attachments"])
    assert sorted(link["id"] for link in found["attachments"]) == [first, second]
    assert {link["name"] for link in found["attachments"]} == {"a.txt", "b.txt"}


def test_large_file_is_sent_in_parts(place: Place, kind_of_site: tuple[Sandbox, Kind]) -> None:
    """A file above the limit of one part arrives whole; on a site without S3 it is one form."""
    place.sg._MULTIPART_UPLOAD_CHUNK_SIZE = 1_000_000
    content = noise(4, 2_500_001)
    path = place.file("large.mov", content)
    made = place.sg.upload("Version", place.version["id"], path, "sg_uploaded_movie")
    assert place.sg.download_attachment(made) == content
    used = place.sandbox.counters().requests
    if kind_of_site[1].direct:
        assert used["api_get_upload_link_for_part"] == used["storage_put"] == 3
        assert used["api_complete_multipart_upload"] == 1
    else:
        assert used["upload_file"] == 1


def test_thumbnail_is_first_transient_then_final(place: Place) -> None:
    """An image reads as the transient URL once, then as the final one; both have a picture."""
    made = place.sg.upload_thumbnail("Version", place.version["id"], place.file("t.png", PNG))
    assert place.sg.find_one("Attachment", [["id", "is", made]])
    first, second, third = (place.read("image") for _ in range(3))
    assert first == f"{place.sandbox.url}/images/status/transient/thumbnail_pending.png"
    picture, kind = place.fetch(first)
    assert picture.startswith(b"\x89PNG")
    assert kind == "image/png"
    assert "transient" not in second
    assert place.fetch(second) == (PNG, "image/png")
    assert place.fetch(third)[0] == PNG


def test_filmstrip_has_its_own_field(place: Place) -> None:
    """upload_filmstrip_thumbnail() leaves the thumbnail alone; clearing that clears both."""
    strip = place.file("strip.jpg", PNG)
    place.sg.upload_filmstrip_thumbnail("Version", place.version["id"], strip)
    assert place.read("image") is None
    place.sg.upload_thumbnail("Version", place.version["id"], place.file("t.png", PNG))
    assert "transient" in place.read("filmstrip_image")
    assert "transient" not in place.read("filmstrip_image")
    cleared = place.sg.update("Version", place.version["id"], {"image": None})
    assert cleared == {"type": "Version", "id": place.version["id"], "image": None}
    assert place.read("image") is None
    assert place.read("filmstrip_image") is None


def test_create_and_update_take_images(place: Place) -> None:
    """create() and update() with "image" upload it, and return the transient URL."""
    path = place.file("t.png", PNG)
    data = {"code": "v002", "project": place.project, "image": path, "filmstrip_image": path}
    made = place.sg.create("Version", data)
    assert "transient" in made["image"]
    assert "transient" in made["filmstrip_image"]
    assert place.fetch(place.read("image", made))[0] == PNG
    changed = place.sg.update("Version", place.version["id"], {"image": path})
    assert "transient" in changed["image"]


def test_thumbnail_is_shared(place: Place) -> None:
    """share_thumbnail() gives the picture of one entity to others, uploading it if need be."""
    others = [place.new_version(f"v{number}") for number in (2, 3)]
    path = place.file("t.png", PNG)
    made = place.sg.upload_thumbnail("Version", place.version["id"], path)
    with pytest.raises(shotgun_api3.ShotgunThumbnailNotReady):
        place.sg.share_thumbnail(list(others), source_entity=place.version)
    assert place.sg.share_thumbnail(list(others), source_entity=place.version) == made
    for other in others:
        assert place.fetch(place.read("image", other))[0] == PNG
    empty = place.new_version("v4")
    assert place.sg.share_thumbnail([others[0]], source_entity=empty) is None
    assert place.read("image", others[0]) is None
    alone = place.sg.share_thumbnail([empty], thumbnail_path=path)
    assert place.sg.find_one("Attachment", [["id", "is", alone]])
    with pytest.raises(shotgun_api3.ShotgunError, match="does not exist"):
        place.sg.share_thumbnail([{"type": "Version", "id": 999}], source_entity=place.version)


def test_refused_upload_leaves_nothing(place: Place, kind_of_site: tuple[Sandbox, Kind]) -> None:
    """An upload for an entity or field that is not there, or with bad keys, changes nothing."""
    path = place.file("a.txt", b"text")
    before = place.sandbox.counters().writes
    for owner, field, said in (
        (999, None, "does not exist"),
        (place.version["id"], "sg_nothing", "does not exist"),
        (place.version["id"], "code", "holds no files"),
    ):
        with pytest.raises(shotgun_api3.ShotgunError, match=said):
            place.sg.upload("Version", owner, path, field)
    place.sg.config.api_key = "wrong"
    with pytest.raises(shotgun_api3.ShotgunError, match="Can't authenticate script"):
        place.sg.upload("Version", place.version["id"], path)
    place.sg.config.api_key = place.sandbox.api_key
    assert place.sandbox.counters().writes == before
    assert place.sg.find("Attachment", []) == []
    if not kind_of_site[1].direct:  # a storage keeps for a day what nobody has linked
        folder = Path(place.sandbox._settings.folder or "") / "files" / "objects"
        assert list(folder.iterdir()) == []
    assert {request.outcome for request in place.sandbox.requests} == {"ok", "fault"}


def test_pages_of_any_size_hold_all(place: Place) -> None:
    """find() pages through everything, image fields included, whatever the page size is."""
    for number in range(7):
        place.sg.create("Shot", {"code": f"sh{number}", "project": place.project})
    shots = place.sg.find("Shot", [], ["code", "image"])
    assert [shot["code"] for shot in shots] == [f"sh{number}" for number in range(7)]
    assert {shot["image"] for shot in shots} == {None}


def test_image_and_file_fields_of_other_kinds(place: Place) -> None:
    """upload() fills any image field, and puts another file into an attachment."""
    project = place.project["id"]
    place.sg.upload("Project", project, place.file("b.png", PNG), "billboard")
    found = place.sg.find_one("Project", [["id", "is", project]], ["billboard"])
    assert "transient" in found["billboard"]
    made = place.sg.upload("Project", project, place.file("a.txt", b"first"))
    other = place.file("b.txt", b"second")
    assert place.sg.upload("Attachment", made, other, "this_file") == made
    assert place.sg.download_attachment(made) == b"second"


def test_legacy_url_of_a_thumbnail(place: Place) -> None:
    """get_thumbnail_url answers with a path, or with the reason why there is none."""
    place.sg.upload_thumbnail("Version", place.version["id"], place.file("t.png", PNG))
    place.read("image")
    url = f"{place.sandbox.url}/upload/get_thumbnail_url?entity_type=Version&entity_id="
    code, path = place.fetch(f"{url}{place.version['id']}")[0].decode().splitlines()
    assert code == "1"
    assert place.fetch(place.sandbox.url + path)[0] == PNG
    for wrong in ("999", "x", ""):
        assert place.fetch(url + wrong)[0].startswith(b"0\n")


def test_signed_url_is_good_for_one_file_and_a_time(place: Place) -> None:
    """A URL of the storage that was changed is refused as S3 refuses it."""
    place.sg.upload_thumbnail("Version", place.version["id"], place.file("t.png", PNG))
    place.read("image")
    url = place.read("image")
    for wrong in (url.replace("expires=", "expires=9"), url.replace(".png", ".jpg"), url[:-5]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            place.fetch(wrong)
        with caught.value as answer:
            assert answer.code == 403
            assert b"<Code>AccessDenied</Code>" in answer.read()
