"""download_media.py: whole files only, each once, and nothing that hangs."""

from __future__ import annotations

import pytest


@pytest.fixture
def movies(sandbox, executor, tmp_path):
    """Make so many Versions with movies of different sizes; their contents by the file names."""

    def movies(count):
        project = executor.create("Project", {"name": "The Lantern Sea"}).result()
        contents, uploads = {}, []
        for number in range(1, count + 1):
            data = {"code": f"v{number}", "project": project}
            version = executor.create("Version", data).result()["id"]
            path = tmp_path / f"sh{number:03} v1.mov"
            path.write_bytes(b"frame" * number)
            uploads.append(executor.upload("Version", version, str(path), "sg_uploaded_movie"))
            contents[version] = path
        executor.create("Version", {"code": "without", "project": project}).result()
        for upload in uploads:
            upload.result()
        return {
            f"{number}_{path.name.replace(' ', '_')}": path.read_bytes()
            for number, path in contents.items()
        }

    return movies


def files(folder):
    """What is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def since(sandbox, before):
    """How many requests of each method there were since *before*."""
    counts = sandbox.counters().requests
    more = {name: count - before.requests.get(name, 0) for name, count in counts.items()}
    return {name: count for name, count in more.items() if count}


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_every_movie_is_downloaded_once(run, sandbox, movies, tmp_path, count):
    """All are whole; there is one session for the four workers, and one request for each file."""
    contents = movies(count)
    before = sandbox.counters()
    ran = run("download_media", tmp_path / "media")
    assert ran.code == 0, ran.err
    assert ran.out == f"{count} downloaded, 0 were there, 0 failed\n"
    assert files(tmp_path / "media") == contents
    requests = since(sandbox, before)
    assert requests["get_session_token"] == 1
    assert requests["storage_get"] == requests["file_serve"] == count
    assert requests["info"] == 1
    assert requests["read"] <= 5  # the project, pages of Versions, their Attachments
    connections = {r.connection for r in sandbox.requests if r.method == "storage_get"}
    assert len(connections) <= 4


def test_another_run_skips_what_is_complete(run, sandbox, movies, tmp_path):
    """What is missing, or has another size, is downloaded; the rest is not asked for."""
    contents = movies(5)
    media = tmp_path / "media"
    run("download_media", media)
    names = sorted(contents)
    (media / names[0]).unlink()
    (media / names[1]).write_bytes(b"half")
    before = sandbox.counters()
    ran = run("download_media", media)
    assert ran.out == "2 downloaded, 3 were there, 0 failed\n"
    assert files(media) == contents
    assert since(sandbox, before)["storage_get"] == 2


def test_an_expired_link_is_asked_for_again_once(run, sandbox, movies, tmp_path):
    """After one answer 403 there is a new link, and the file; after two the movie has failed."""
    contents = movies(1)
    sandbox.fail_next("storage_get", status=403)
    before = sandbox.counters()
    ran = run("download_media", tmp_path / "once")
    assert ran.code == 0, ran.err
    assert files(tmp_path / "once") == contents
    assert since(sandbox, before)["read"] == 4  # one more for the link
    sandbox.fail("storage_get", status=403)
    before = sandbox.counters()
    ran = run("download_media", tmp_path / "twice")
    assert ran.code == 1
    assert ran.out == "0 downloaded, 0 were there, 1 failed\n"
    assert "Version 1 failed: " in ran.err
    assert since(sandbox, before)["storage_get"] == 2
    assert files(tmp_path / "twice") == {}


@pytest.mark.parametrize("route", ["storage_get", "file_serve"])
def test_a_download_that_hangs_times_out(run, sandbox, movies, tmp_path, route):
    """It is reported, all others are there, and another run gets it."""
    contents = movies(6)
    sandbox.fail_next(route, "silence")
    media = tmp_path / "media"
    ran = run("download_media", media, "--timeout", "0.5", "--retries", "0")
    assert ran.code == 1
    assert ran.out == "5 downloaded, 0 were there, 1 failed\n"
    assert "failed: " in ran.err
    assert len(files(media)) == 5
    assert run("download_media", media).out == "1 downloaded, 5 were there, 0 failed\n"
    assert files(media) == contents


def test_a_download_that_breaks_off_is_made_again(run, sandbox, movies, tmp_path):
    """Half a body is no file: it is asked for again, and is whole then."""
    contents = movies(3)
    sandbox.fail_next("storage_get", "half_body")
    ran = run("download_media", tmp_path / "media")
    assert ran.code == 0, ran.err
    assert files(tmp_path / "media") == contents


def test_a_movie_of_the_wrong_size_is_no_file(run, load, movies, tmp_path, monkeypatch):
    """If the site's size is another one, the movie keeps its .part, and is reported."""
    movies(1)
    module = load("download_media")
    download = module.download
    monkeypatch.setattr(module, "download", lambda sg, version, _, to: download(sg, version, 1, to))
    ran = run("download_media", tmp_path / "media")
    assert ran.code == 1
    assert "it has 5 bytes in place of 1" in ran.err
    assert [path.suffix for path in (tmp_path / "media").iterdir()] == [".part"]


@pytest.mark.slow
def test_it_runs_as_it_is(alone, tmp_path, monkeypatch):
    """Without arguments and environment it downloads movies that it has made."""
    monkeypatch.chdir(tmp_path)
    done = alone("download_media")
    assert done.code == 0, done.err
    assert done.out == "40 downloaded, 0 were there, 0 failed\n"
    assert {path.stat().st_size for path in (tmp_path / "media").iterdir()} == {200_000}
