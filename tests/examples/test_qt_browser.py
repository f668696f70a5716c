"""qt_browser.py: results on the thread of the window, and a window that closes at once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import shotgun_api3

from shotgun_executor import ShotgunExecutor
from tests.support import LONG, in_thread

pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6, or a library of the system that it needs, is not installed here",
    exc_type=ImportError,
)

WORKERS = 4
SHOTS = 200


@pytest.fixture(scope="module")
def application():
    """Qt without a screen."""
    from PySide6 import QtWidgets

    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    # Qt ends the whole process when it cannot start, so it is tried in another.
    start = "from PySide6 import QtWidgets; QtWidgets.QApplication([])"
    tried = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, timeout=50, check=False
    )
    if tried.returncode:
        pytest.skip(f"Qt cannot start without a screen here: {tried.stderr.strip()[-200:]}")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


@pytest.fixture
def example(load, application):
    return load("qt_browser")


@pytest.fixture
def project(sandbox, tmp_path):
    """A project with 200 shots that share a thumbnail."""
    sg = shotgun_api3.Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    data = [{"code": f"s{number:03}", "project": project} for number in range(SHOTS)]
    create = {"request_type": "create", "entity_type": "Shot"}
    shots = sg.batch([{**create, "data": values} for values in data])
    path = tmp_path / "picture.png"
    from PySide6 import QtGui

    picture = QtGui.QImage(24, 14, QtGui.QImage.Format_RGB32)
    picture.fill(QtGui.QColor("teal"))
    assert picture.save(str(path))
    with ShotgunExecutor(sg) as executor:
        executor.upload_thumbnail("Shot", shots[0]["id"], str(path)).result(LONG)
    sg.find("Shot", [], ["image"])  # the first time it is the transient one
    sg.share_thumbnail(shots[1:], source_entity=shots[0])
    sg.find("Shot", [], ["image"])
    sg.close()
    return project


@pytest.fixture
def executor(sandbox):
    with ShotgunExecutor(sandbox.url, **sandbox.credentials, max_workers=WORKERS) as executor:
        executor.connect()
        yield executor


def until(application, condition):
    """Let the window do its work until *condition* holds."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        application.processEvents()
        time.sleep(0.002)


def shown(browser):
    browser.show()
    return browser


def held(sandbox, count):
    return lambda: sandbox.counters().held >= count


def test_shots_and_thumbnails_arrive_on_the_thread_of_the_window(
    example, application, executor, project
):
    """200 shots with their thumbnails are shown, and all that shows them runs on this thread."""
    threads = set()

    class Browser(example.Browser):
        def show_shots(self, found):
            threads.add(threading.get_ident())
            super().show_shots(found)

        def show_image(self, item, image):
            threads.add(threading.get_ident())
            super().show_image(item, image)

    browser = shown(Browser(executor, project))
    until(application, lambda: browser.missing == 0)
    assert threads == {threading.get_ident()}
    assert browser.told.text() == f"{SHOTS} shots"
    assert browser.shots.item(7).text() == "s007  wtg"
    colour = browser.shots.item(7).icon().pixmap(example.SIZE).toImage().pixelColor(20, 20)
    assert colour.name() == "#008080"
    browser.close()


def test_a_query_takes_the_place_of_the_one_before(
    example, application, executor, project, sandbox
):
    """What an earlier query still waits for is cancelled, and never shown."""
    sandbox.hold("storage_get")
    browser = shown(example.Browser(executor, project))
    until(application, held(sandbox, WORKERS))
    browser.query.setText("s01")
    browser.query.returnPressed.emit()
    until(application, lambda: browser.missing == 10)
    sandbox.resume()
    until(application, lambda: browser.missing == 0)
    assert browser.told.text() == "10 shots"
    assert sandbox.counters().requests["storage_get"] <= 2 * WORKERS + 10
    browser.close()


def test_closing_cancels_what_waits_and_returns_at_once(
    example, application, executor, project, sandbox
):
    """Though calls hang, window and executor are closed at once, and nothing comes after."""
    sandbox.hold("storage_get")
    browser = shown(example.Browser(executor, project))
    until(application, held(sandbox, WORKERS))
    futures = set(browser.bridge.futures)
    assert len(futures) == SHOTS
    began = time.monotonic()
    browser.close()
    assert time.monotonic() - began < 5  # the limit of a silence is 120 seconds
    told = browser.told.text()
    until(application, lambda: all(future.cancelled() for future in futures))
    in_thread(executor.shutdown)()  # it would wait for what hangs
    sandbox.resume()
    application.processEvents()
    assert browser.told.text() == told
    assert sandbox.counters().requests["storage_get"] == WORKERS


def test_nothing_is_raised_after_the_close(
    example, application, executor, project, sandbox, monkeypatch
):
    """Answers that are on their way to a window that is closed and gone do no harm."""
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: raised.append(error))
    for _ in range(3):
        browser = shown(example.Browser(executor, project))
        until(application, lambda browser=browser: browser.missing)
        browser.close()
        browser.deleteLater()
        del browser
        application.sendPostedEvents(None, 0)
        application.processEvents()
    assert raised == []
    assert executor.find_one("Project", [], ["name"]).result(LONG)["name"] == project["name"]


def test_a_query_that_fails_is_told(example, application, executor, project, sandbox):
    """A fault of the site is shown in the window."""
    sandbox.fail_next("read", status=500)
    browser = shown(example.Browser(executor, project))
    until(application, lambda: "failed" in browser.told.text())
    assert "500" in browser.told.text()
    browser.close()


PROGRAM = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import qt_browser
    from PySide6 import QtCore

    class Browser(qt_browser.Browser):
        def show_shots(self, found):
            super().show_shots(found)
            QtCore.QTimer.singleShot(50, self.reject)

    qt_browser.Browser = Browser
    sys.argv = sys.argv[:1]
    sys.exit(qt_browser.main())
"""


def test_the_process_ends_in_time_though_calls_hang(example, project, sandbox):
    """When the window is closed the program ends long before the limit of the calls that hang."""
    sandbox.hold("storage_get")
    environment = {
        **os.environ,
        "SHOTGUN_URL": sandbox.url,
        "SHOTGUN_SCRIPT_NAME": sandbox.script_name,
        "SHOTGUN_API_KEY": sandbox.api_key,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(Path(example.__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,  # a silence may last 120 seconds
        check=False,
    )
    sandbox.resume()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < sandbox.counters().requests["storage_get"] < SHOTS


def test_picture_of_its_own_site(alone, application, tmp_path):
    """Without an environment it fills a local site, and --screenshot saves a picture."""
    from PySide6 import QtGui

    path = tmp_path / "browser.png"
    done = alone("qt_browser", "--screenshot", path)
    assert done.code == 0, done.err
    picture = QtGui.QImage(str(path))
    assert picture.width() >= 800
    assert picture.pixelColor(60, 60).name() != picture.pixelColor(60, 480).name()
