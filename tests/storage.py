"""A site with a storage for files beside it, whose requests fail by their paths."""

from __future__ import annotations

import contextlib
import email
import urllib.parse

from tests.wire import INFO, results_of, serving

DIRECT = {**INFO, "s3_direct_uploads_enabled": True, "s3_enabled_upload_types": {"*": ["*"]}}
FORMS = {**INFO, "s3_direct_uploads_enabled": False}


class Storage:
    """A site with a storage beside it, on one port; faults by path."""

    def __init__(self, info):
        self.info = info
        self.stored: dict[str, bytes] = {}
        self.faults: list[tuple[str, object]] = []  # (start of a path, what to do instead)
        self.requests: list[object] = []
        self.content = b"content of an attachment" * 1000
        self.headers = ""

    def __call__(self, peer):
        while True:
            request = peer.read()
            if request is None:
                return
            self.requests.append(request)
            fault = self._fault(request.target)
            if fault is not None:
                if fault(peer):
                    return
            elif request.target.startswith("/api3"):
                self._call(peer, request)
            else:
                self._file(peer, request)

    def _fault(self, target):
        for number, (start, fault) in enumerate(self.faults):
            if target.startswith(start):
                del self.faults[number]
                return fault
        return None

    def _call(self, peer, request):
        peer.answer(self.info if request.name == "info" else results_of(request))

    def _file(self, peer, request):
        path = request.target.partition("?")[0]
        host = f"http://127.0.0.1:{peer.server.port}"
        if request.method == "PUT":
            self.stored[path] = request.body
            peer.answer(b"", headers=f'ETag: "tag-{len(self.stored)}"\r\n')
        elif path == "/upload/api_get_upload_link_info":
            text = f"1\n{host}/store/whole?Signature=secret\n2030\nAttachment\nupload-1\ns3"
            peer.answer(text.encode(), kind="text/plain")
        elif path == "/upload/api_get_upload_link_for_part":
            number = form(request)["part_number"]
            peer.answer(f"1\n{host}/store/{number}?Signature=secret".encode(), kind="text/plain")
        elif path == "/file_serve/attachment/9":
            to = f"Location: {host}/store/download?Signature=secret\r\n{self.headers}"
            peer.answer(b"", 302, to)
        elif path == "/store/download":
            peer.answer(self.content, kind="video/quicktime")
        else:
            peer.answer(b"1:4711:ok\n", kind="text/plain")

    def of(self, start):
        """The requests for paths that start so."""
        return [request for request in self.requests if request.target.startswith(start)]


def form(request):
    """The fields of a form, multipart or not."""
    kind = request.headers["content-type"]
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(urllib.parse.parse_qsl(request.body.decode()))
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.body)
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_payload(decode=True),
            part.get_filename(),
            part.get_content_type(),
            part["content-length"],
        )
        for part in message.get_payload()
    }


@contextlib.contextmanager
def storing(info):
    storage = Storage(info)
    with serving(storage) as server:
        yield storage, server


def status(code, headers=""):
    return lambda peer: peer.answer(b"no", code, headers)


def drop(peer):
    peer.reset()
    return True
