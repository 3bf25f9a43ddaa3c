"""One HTTP/1.1 exchange at a time, as fast as asyncio can."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass

OUR_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS}


class NoAnswer(Exception):
    """The server refused, reset or cut short."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    keepalive: bool
    body: bytes

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


class Connection(asyncio.Protocol):
    """One connection to the server, one exchange at a time on it."""

    transport: asyncio.Transport
    waiting: asyncio.Future[Answer] | None = None
    received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def exchange(self, message: bytes) -> asyncio.Future[Answer]:
        self.received = b""
        self.to_head = message.startswith(b"HEAD ")
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(message)
        return self.waiting

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        if answer := self.complete(at_end=False):
            self.settle(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.settle(NoAnswer("reset"))
        else:
            why = "cut short" if self.received else "closed before it answered"
            self.settle(self.complete(at_end=True) or NoAnswer(why))

    def settle(self, outcome: Answer | NoAnswer) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Answer):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)

    def complete(self, at_end: bool) -> Answer | None:
        """The answer, if all of it is here."""
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        status = int(head[9:12])
        if status < 200:
            self.received = body
            return self.complete(at_end)
        headers = head.lower()
        if self.to_head or status in (204, 304):
            ended = True
        elif (at := headers.find(b"\r\ncontent-length:")) >= 0:
            length = headers[at + 17 :].split(b"\r\n", 1)[0]
            ended = len(body) >= int(length)
        elif b"\r\ntransfer-encoding: chunked" in headers:
            ended = has_last_chunk(body)
        else:
            ended = at_end
        keepalive = not at_end and b"\r\nconnection: close" not in headers
        return Answer(status, head, keepalive, body) if ended else None


async def connect(
    host: str, port: int, local: tuple[str, int] | None = None
) -> Connection:
    """Open a connection, from the address *local* if it is given.

    Raises NoAnswer if the server does not take it.
    """
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            Connection, host, port, local_addr=local
        )
    except OSError as error:
        if error.errno in OUR_OWN_LIMITS:
            raise  # the load generator's failure, not the server's
        raise NoAnswer("refused") from error
    return connection


def has_last_chunk(body: bytes) -> bool:
    at = 0
    while (end := body.find(b"\r\n", at)) >= 0:
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return body.endswith(b"\r\n\r\n")
        at = end + 2 + size + 2
    return False
