"""One page with the shop, its pools and the buttons, served beside the shop.

It is a server of its own, so that it answers whatever the shop is going through.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from demo.serving import Backend, Serving, served
from demo.stage.trouble import Trouble
from tests.harness.mariadb import MariaDB
from tests.harness.processes import HOST

PAGE = Path(__file__).with_name("stage.html")


class Stage(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, trouble: Trouble) -> None:
        super().__init__((HOST, 0), Handler)
        self.trouble = trouble
        self.url = f"http://{HOST}:{self.server_port}"

    @property
    def shop(self) -> str:
        return self.trouble.shop.url


class Handler(BaseHTTPRequestHandler):
    @property
    def stage(self) -> Stage:
        return cast(Stage, self.server)

    def do_GET(self) -> None:
        if self.path == "/":
            page = PAGE.read_text().replace("{{ shop }}", self.stage.shop)
            self.answer(200, "text/html; charset=utf-8", page)
        elif self.path == "/now":
            now = json.dumps(self.stage.trouble.now())
            self.answer(200, "application/json", now)
        else:
            self.answer(404, "text/plain", "There is nothing here.")

    def do_POST(self) -> None:
        kind = self.path.strip("/")
        if self.headers.get("Origin") != self.stage.url:
            self.answer(403, "text/plain", "Only the page's own buttons do that.")
        elif kind not in self.stage.trouble.kinds:
            self.answer(404, "text/plain", "There is no such trouble.")
        elif self.stage.trouble.provoke(kind):
            self.answer(202, "text/plain", "It begins.")
        else:
            self.answer(409, "text/plain", "It is under way.")

    def answer(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The page asks all the time; that is no news."""


@contextmanager
def performing(
    database: MariaDB, backend: Backend, serving: Serving
) -> Iterator[Stage]:
    """Serve the shop, and make its stage, which answers in `serve_forever()`."""
    with (
        # Not that of another site that runs from the same directory.
        tempfile.TemporaryDirectory(prefix="pooled_db-stage-") as state_dir,
        served(database, backend, replace(serving, state_dir=state_dir)) as shop,
    ):
        trouble = Trouble(database, shop)
        with Stage(trouble) as stage:
            try:
                yield stage
            finally:
                trouble.end()
