"""A local HTTP server of one file, with the failures that real ones have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What is served, and how badly. `requests` has the headers of each request so far.

    cuts: after how many bytes of the body the connection breaks, request by request; None or no entry: it does not.
    statuses: answers that come first, before the file is served. ranges: whether Range is understood.
    validators: whether ETag and Last-Modified are sent. length: whether Content-Length is sent; missing: bytes that it
    counts and that never come.
    """

    content: bytes
    etag: str = '"one"'
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    validators: bool = True
    length: bool = True
    missing: int = 0
    content_type: str = "application/zip"
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = dict(handler.headers)
        self.requests.append(headers)
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        start, asked = 0, headers.get("Range")
        unchanged = headers.get("If-Range", self.etag) in (self.etag, self.modified)
        if asked is not None and self.ranges and unchanged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                handler.send_error(416)
                return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", self.content_type)
        if self.length:
            handler.send_header("Content-Length", str(len(body) + self.missing))
        if self.validators:
            handler.send_header("ETag", self.etag)
            handler.send_header("Last-Modified", self.modified)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(body if cut is None else body[:cut])
        handler.close_connection = True

    @property
    def modified(self) -> str:
        return "Mon, 01 Jan 2024 00:00:00 GMT"


@contextmanager
def serving(server: FileServer, path: str = "/data.zip") -> Iterator[FileServer]:
    """Serve until the block is left; `server.url` is the file's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == path:
                server.answer(self)
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}{path}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
