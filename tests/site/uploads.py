"""Views that read what their client sends, in each way that Django has."""

from __future__ import annotations

import hashlib
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse, JsonResponse

from .views import ask

PIECE = 1000


def upload(request: HttpRequest) -> JsonResponse:
    """Read the body as told, and ask the database before or after that, or both."""
    asks = request.GET["asks"]
    before = ask("SELECT CONNECTION_ID()") if asks in ("before", "both") else None
    body = READERS[request.GET.get("how", "body")](request)
    after = ask("SELECT CONNECTION_ID()") if asks in ("after", "both") else None
    digest = hashlib.sha256(body).hexdigest()
    return JsonResponse({"sha256": digest, "before": before, "after": after})


def _in_pieces(request: HttpRequest) -> bytes:
    return b"".join(iter(lambda: request.read(PIECE), b""))


def _by_line(request: HttpRequest) -> bytes:
    return b"".join(request)


def _lines(request: HttpRequest) -> bytes:
    return b"".join(request.readlines())


def _raw(request: HttpRequest) -> bytes:
    length = int(request.META["CONTENT_LENGTH"])
    body: bytes = request.META["wsgi.input"].read(length)
    return body


def _posted(request: HttpRequest) -> bytes:
    return request.POST["text"].encode()


class Recorder(FileUploadHandler):
    """Keeps the pieces as they come, and the file itself out of Django's hands."""

    chunk_size = PIECE

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.pieces: list[bytes] = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert start == sum(map(len, self.pieces))
        self.pieces.append(raw_data)

    def file_complete(self, file_size: int) -> Any:
        assert file_size == sum(map(len, self.pieces))


def _handled(request: HttpRequest) -> bytes:
    recorder = Recorder(request)
    request.upload_handlers = [recorder]
    assert not request.FILES
    assert len(recorder.pieces) > 1
    return b"".join(recorder.pieces)


def _file(request: HttpRequest) -> bytes:
    file = request.FILES["file"]
    assert isinstance(file, UploadedFile)
    body: bytes = file.read()
    return body


READERS = {
    "body": lambda request: request.body,
    "pieces": _in_pieces,
    "lines": _lines,
    "by line": _by_line,
    "raw": _raw,
    "posted": _posted,
    "handled": _handled,
    "file": _file,
}


def upload_with_variable(request: HttpRequest) -> HttpResponse:
    """Read the body with something in the session that only this connection has."""
    ask("SET @mine = 'mine'")
    size = len(request.body)
    return HttpResponse(f"{size} {ask('SELECT @mine')}")
