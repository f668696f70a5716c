"""Many downloads over few connections: none finds remains of the one before."""

from __future__ import annotations

import http.client
import urllib.parse

import pytest

from shotgun_executor import ShotgunExecutor
from tests.support import LONG


@pytest.fixture
def urls(sandbox, executor, tmp_path):
    """The addresses of twenty thumbnails, each of another size."""
    project = executor.create("Project", {"name": "The Lantern Sea"}).result(LONG)
    uploads = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        path.write_bytes(bytes([number]) * (900 + number))
        shot = executor.create("Shot", {"code": f"s{number:03}", "project": project})
        uploads.append(executor.upload_thumbnail("Shot", shot, str(path)))
    for upload in uploads:
        upload.result(LONG)
    executor.find("Shot", [], ["image"]).result(LONG)  # the first time it is the transient one
    shots = executor.find("Shot", [], ["image"], [{"field_name": "code"}]).result(LONG)
    return [shot["image"] for shot in shots]


def test_the_storage_sends_a_file_once(urls):
    """After a file nothing more comes, so that the connection can be used for another."""
    parts = [urllib.parse.urlsplit(url) for url in urls]
    connection = http.client.HTTPConnection(parts[0].hostname, parts[0].port, timeout=LONG)
    try:
        for number, part in enumerate(parts):
            connection.request("GET", f"{part.path}?{part.query}")
            assert connection.getresponse().read() == bytes([number]) * (900 + number)
    finally:
        connection.close()


@pytest.mark.parametrize("workers", [1, 4])
def test_downloads_use_few_connections_and_none_is_repeated(sandbox, urls, workers):
    """Each download has its own bytes, at the first try, over no more connections than workers."""
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=workers) as executor:
        futures = [executor.download_attachment({"url": url}) for url in urls]
        for number, future in enumerate(futures):
            assert future.result(LONG) == bytes([number]) * (900 + number)
        assert executor.stats().repeated == 0
