"""A server that says any error at any step.

    with FakeServer() as server:
        server.says("login", 1040, "Too many connections")
        MySQLdb.connect(host=server.host, port=server.port, user="any")

It lets everybody in, and answers whatever else it is asked with "done" or with the rows
that it was told.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections import Counter
from typing import Literal

from typing_extensions import Self

from .processes import HOST

Step = Literal["greeting", "login", "query", "commit", "change_user"]

#: https://mariadb.com/docs/server/reference/clientserver-protocol
QUIT, INIT_DB, QUERY, PING, CHANGE_USER = 1, 2, 3, 14, 17
LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE, PLUGIN_AUTH = (
    1 << 0,
    1 << 3,
    1 << 9,
    1 << 13,
    1 << 15,
    1 << 19,
)
CAPABILITIES = (
    LONG_PASSWORD | CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE | PLUGIN_AUTH
)
UTF8MB4 = 45
AUTOCOMMIT = 2
SALT = b"12345678" + b"901234567890"
PLUGIN = b"mysql_native_password"
VAR_STRING = 253
DONE = b"\x00\x00\x00" + struct.pack("<HH", AUTOCOMMIT, 0)


class FakeServer:
    """Runs inside the with block."""

    def __init__(self, host: str = HOST, port: int = 0) -> None:
        self._errors: dict[Step, bytes] = {}
        self._rows: dict[bytes, list[list[str]]] = {}
        #: How often each step was reached.
        self.reached: Counter[str] = Counter()
        self._server = _Listener((host, port), _Session)
        self._server.fake = self
        self.host = host
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self.close_sessions()
        self._server.server_close()

    def says(self, step: Step, code: int, text: str) -> None:
        """Answer *step* with an error from now on.

        "query" is every statement but COMMIT, which has a step of its own.
        """
        # Before the login nobody has said that he wants the state (#HY000).
        state = b"" if step == "greeting" else b"#HY000"
        self._errors[step] = b"\xff" + struct.pack("<H", code) + state + text.encode()

    def answers(self, statement: str, rows: list[list[str]]) -> None:
        """Answer what begins with *statement* with *rows*."""
        self._rows[statement.encode()] = rows

    def recovers(self) -> None:
        """Say no error any more."""
        self._errors.clear()

    def close_sessions(self) -> None:
        """Hang up on all its clients."""
        self._server.close_sessions()

    def error_at(self, step: Step) -> bytes | None:
        self.reached[step] += 1
        return self._errors.get(step)

    def rows_for(self, statement: bytes) -> list[list[str]] | None:
        for beginning, rows in self._rows.items():
            if statement.lstrip().startswith(beginning):
                return rows
        return None


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    fake: FakeServer

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.sessions: set[socket.socket] = set()

    def close_sessions(self) -> None:
        for session in list(self.sessions):
            with contextlib.suppress(OSError):
                session.shutdown(socket.SHUT_RDWR)


class _Session(socketserver.BaseRequestHandler):
    server: _Listener
    request: socket.socket

    def handle(self) -> None:
        self.server.sessions.add(self.request)
        try:
            with contextlib.suppress(EOFError, OSError):
                self._serve()
        finally:
            self.server.sessions.discard(self.request)

    def _serve(self) -> None:
        fake = self.server.fake
        self._number = 0
        refusal = fake.error_at("greeting")
        self._send(refusal or _greeting())
        if refusal is not None:
            return
        self._receive()
        refusal = fake.error_at("login")
        self._send(refusal or DONE)
        while refusal is None:
            command = self._receive()
            if command[0] == QUIT:
                return
            self._answer(fake, command[0], command[1:])

    def _answer(self, fake: FakeServer, command: int, rest: bytes) -> None:
        error = None
        if command == CHANGE_USER:
            error = fake.error_at("change_user")
        elif command == QUERY:
            is_commit = rest.upper().startswith(b"COMMIT")
            error = fake.error_at("commit" if is_commit else "query")
        rows = fake.rows_for(rest) if command == QUERY and error is None else None
        if rows is None:
            self._send(error or DONE)
        else:
            self._send_rows(rows)

    def _send_rows(self, rows: list[list[str]]) -> None:
        columns = len(rows[0])
        end = b"\xfe" + struct.pack("<HH", 0, AUTOCOMMIT)
        self._send(bytes([columns]))
        for number in range(columns):
            self._send(_column(f"column{number}"))
        self._send(end)
        for row in rows:
            self._send(b"".join(_string(value.encode()) for value in row))
        self._send(end)

    def _send(self, payload: bytes) -> None:
        head = struct.pack("<I", len(payload))[:3] + bytes([self._number % 256])
        self._number += 1
        self.request.sendall(head + payload)

    def _receive(self) -> bytes:
        head = self._exactly(4)
        self._number = head[3] + 1
        return self._exactly(int.from_bytes(head[:3], "little"))

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            part = self.request.recv(size - len(read))
            if not part:
                raise EOFError
            read += part
        return read


def _greeting() -> bytes:
    return b"".join(
        (
            b"\x0a8.4.0-fake\x00",
            struct.pack("<I", 1),
            SALT[:8] + b"\x00",
            struct.pack("<H", CAPABILITIES & 0xFFFF),
            bytes([UTF8MB4]),
            struct.pack("<H", AUTOCOMMIT),
            struct.pack("<H", CAPABILITIES >> 16),
            bytes([len(SALT) + 1]),
            bytes(10),
            SALT[8:] + b"\x00",
            PLUGIN + b"\x00",
        )
    )


def _column(name: str) -> bytes:
    names = b"".join(map(_string, (b"def", b"", b"", b"", name.encode(), b"")))
    kind = struct.pack("<BHIBHBH", 12, UTF8MB4, 1024, VAR_STRING, 0, 0, 0)
    return names + kind


def _string(value: bytes) -> bytes:
    return bytes([len(value)]) + value
