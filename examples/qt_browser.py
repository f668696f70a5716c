"""A dialog that shows the shots of a project with their thumbnails, and never freezes.

The query and the thumbnails are futures. Their callbacks run on the threads of the executor, and
hand what they have to the thread of the window by a signal: `Bridge`. The query goes first, by its
priority. Closing the dialog cancels what has not started and ends what runs, so that the window
and the program are gone at once, although a call may hang.

Needs PySide6 or PySide2. Without SHOTGUN_URL it shows a local site, to which it puts a few
thumbnails first. `--screenshot FILE` saves a picture when all is there, and ends.
"""

import argparse
import functools
import os
import sys
import tempfile
from pathlib import Path

from _site import bar, find_project, open_site, run_program, whole_number

from shotgun_executor import ShotgunExecutor

try:
    from PySide6 import QtCore, QtGui, QtWidgets
except ImportError:
    try:
        from PySide2 import QtCore, QtGui, QtWidgets
    except ImportError:
        raise SystemExit("this needs PySide6: pip install PySide6-Essentials") from None

SIZE = QtCore.QSize(120, 68)


class Bridge(QtCore.QObject):
    """Brings what a future has to the thread that this object was made on."""

    arrived = QtCore.Signal(object, object)

    def __init__(self, parent):
        super().__init__(parent)
        self.arrived.connect(self.deliver, QtCore.Qt.QueuedConnection)
        self.futures = set()

    def when_done(self, future, function):
        """Call ``function(future)`` on this object's thread, unless it was closed meanwhile."""
        self.futures.add(future)
        future.add_done_callback(functools.partial(self.announce, function))

    def announce(self, function, future):
        """On a thread of the executor."""
        if not future.cancelled():
            self.arrived.emit(function, future)

    def deliver(self, function, future):
        """On the thread of the window."""
        if future in self.futures:
            self.futures.discard(future)
            function(future)

    def close(self):
        """Cancel what has not started, end what only reads, and deliver nothing more."""
        futures, self.futures = self.futures, set()
        for future in futures:
            future.cancel()  # first, so that none starts in place of one that is ended
        for future in futures:
            future.cancel(abort=True)


class Browser(QtWidgets.QDialog):
    """A field for the query, and the shots that it finds."""

    def __init__(self, executor, project):
        super().__init__()
        self.executor = executor
        self.project = project
        self.bridge = Bridge(self)
        self.setWindowTitle(f"Shots of {project['name']}")
        self.resize(860, 560)
        self.query = QtWidgets.QLineEdit()
        self.query.setPlaceholderText("A part of the code, then Return")
        self.query.returnPressed.connect(self.search)
        self.shots = QtWidgets.QListWidget()
        self.shots.setViewMode(QtWidgets.QListView.IconMode)
        self.shots.setResizeMode(QtWidgets.QListView.Adjust)
        self.shots.setMovement(QtWidgets.QListView.Static)
        self.shots.setUniformItemSizes(True)
        self.shots.setIconSize(SIZE)
        self.shots.setGridSize(SIZE + QtCore.QSize(16, 36))
        self.told = QtWidgets.QLabel()
        layout = QtWidgets.QVBoxLayout(self)
        for widget in (self.query, self.shots, self.told):
            layout.addWidget(widget)
        self.search()

    def search(self):
        """Ask for the shots; what an earlier query still waits for is cancelled."""
        self.bridge.close()
        self.shots.clear()
        self.missing = None
        filters = [["project", "is", self.project]]
        if self.query.text():
            filters.append(["code", "contains", self.query.text()])
        found = self.executor.options(priority=10).find(
            "Shot", filters, ["code", "image", "sg_status_list"], [{"field_name": "code"}]
        )
        self.told.setText("Searching ...")
        self.bridge.when_done(found, self.show_shots)

    def show_shots(self, found):
        """The query was answered: list the shots, and ask for their thumbnails."""
        if found.exception():
            self.told.setText(f"The query has failed: {found.exception()}")
            return
        shots = found.result()
        empty = QtGui.QPixmap(SIZE)
        empty.fill(QtGui.QColor("#3a3f46"))
        self.missing = sum(bool(shot["image"]) for shot in shots)
        self.failed = 0
        for shot in shots:
            text = f"{shot['code']}  {shot['sg_status_list']}"
            item = QtWidgets.QListWidgetItem(QtGui.QIcon(empty), text)
            self.shots.addItem(item)
            if shot["image"]:
                image = self.executor.download_attachment({"url": shot["image"]})
                self.bridge.when_done(image, functools.partial(self.show_image, item))
        self.tell()

    def show_image(self, item, image):
        """A thumbnail is there."""
        self.missing -= 1
        picture = QtGui.QPixmap()
        if image.exception() or not picture.loadFromData(image.result()):
            self.failed += 1
        else:
            item.setIcon(QtGui.QIcon(picture.scaled(SIZE, QtCore.Qt.KeepAspectRatioByExpanding)))
        self.tell()

    def tell(self):
        """Say how far it is."""
        text = f"{self.shots.count()} shots"
        text += f", {self.missing} thumbnails to come" if self.missing else ""
        self.told.setText(text + (f", {self.failed} thumbnails failed" if self.failed else ""))

    def done(self, result):
        """The dialog is closed, by whatever way."""
        self.bridge.close()
        super().done(result)


def put_thumbnails(executor):
    """For the local site: a picture for each shot, in the colour of its sequence."""
    shots = executor.find("Shot", [], ["code"]).result()
    with tempfile.TemporaryDirectory() as folder:
        futures = [
            executor.upload_thumbnail("Shot", shot["id"], paint(folder, shot["code"], at))
            for at, shot in enumerate(shots)
        ]
        for future in bar(futures, desc="Thumbnails for the local site"):
            future.result()
    executor.find("Shot", [], ["image"]).result()  # the site has them ready by the second time


def paint(folder, code, at):
    """A picture with the code of a shot; returns its path."""
    picture = QtGui.QImage(240, 136, QtGui.QImage.Format_RGB32)
    picture.fill(QtGui.QColor.fromHsv(at // 20 * 47 % 360, 110, 110 + at % 20 * 6))
    painter = QtGui.QPainter(picture)
    painter.setPen(QtGui.QColor("white"))
    painter.setFont(QtGui.QFont("Sans Serif", 18))
    painter.drawText(picture.rect(), QtCore.Qt.AlignCenter, code)
    painter.end()
    path = str(Path(folder) / f"{code}.png")
    picture.save(path)
    return path


def save_when_complete(browser, path):
    """Save a picture of the dialog when all thumbnails are there, and close it."""
    if browser.missing == 0:
        browser.grab().save(path)
        browser.accept()
    else:
        QtCore.QTimer.singleShot(50, functools.partial(save_when_complete, browser, path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", default="", help="name or id (default: the first)")
    parser.add_argument(
        "--workers", type=whole_number, default=8, help="calls at a time (default: 8)"
    )
    parser.add_argument("--screenshot", metavar="FILE", help="save a picture, and end")
    options = parser.parse_args()
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    with (
        open_site(shots=200) as site,
        ShotgunExecutor(**site, max_workers=options.workers) as executor,
    ):
        if not os.environ.get("SHOTGUN_URL"):
            put_thumbnails(executor)
        browser = Browser(executor, find_project(executor.shotgun, options.project))
        browser.show()
        if options.screenshot:
            save_when_complete(browser, options.screenshot)
        run_loop = getattr(application, "exec", None) or application.exec_  # PySide6, PySide2
        run_loop()
    return 0


if __name__ == "__main__":
    run_program(main)
