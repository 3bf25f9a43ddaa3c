"""The proxy's process: commands on stdin, one answer for each on stdout."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import selectors
import socket
import sys
from collections.abc import Callable
from typing import Any

from .processes import HOST
from .proxy_link import Faults, Link

BACKLOG = 1024
#: Another address of this machine, so that the proxy's own is no client's connection.
ELSEWHERE = "127.0.0.2"


class PreciseSelector(selectors.EpollSelector):
    """Waits to the microsecond, where epoll_wait rounds up to the millisecond."""

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


class Entrance:
    """The port on which clients come in: open, closed, or with a full backlog."""

    def __init__(self, port: int, accept: Callable[[], asyncio.Protocol]) -> None:
        self._address = HOST, port
        self._accept = accept
        self._listener: asyncio.AbstractServer | None = None
        self._full: list[socket.socket] = []

    async def open(self) -> None:
        if self._listener is None:
            self.close()
            self._listener = await asyncio.get_running_loop().create_server(
                self._accept, sock=self._listen(BACKLOG)
            )

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for full in self._full:
            full.close()
        self._full.clear()

    def fill(self) -> None:
        """Listen without accepting, and fill the backlog.

        Linux drops the SYN of whoever comes then. A backlog of 0 has room for one.
        """
        self.close()
        filler = socket.socket()
        filler.setblocking(False)
        filler.bind((ELSEWHERE, 0))
        self._full = [self._listen(0), filler]
        if filler.connect_ex(self._address) not in (0, errno.EINPROGRESS):
            raise OSError("the backlog cannot be filled")

    def _listen(self, backlog: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        listener.listen(backlog)
        return listener


class Commands:
    """What the proxy can be told."""

    def __init__(self, port: int, server_port: int) -> None:
        self.faults = Faults()
        self.links: set[Link] = set()
        self.entrance = Entrance(
            port, lambda: Link((HOST, server_port), self.faults, self.links).client
        )

    async def forward(self) -> None:
        self.faults.end()
        for link in list(self.links):
            link.budget = None
            link.move()
        await self.entrance.open()

    async def stop(self) -> None:
        self.faults.moving.clear()
        for link in self.links:
            link.halt()

    async def delay(self, to_server: float, to_client: float) -> None:
        self.faults.to_server = to_server
        self.faults.to_client = to_client

    async def cut(self) -> None:
        for link in list(self.links):
            link.reset()

    async def cut_after(self, sent: int, reset: bool) -> None:
        self.faults.budget = sent
        self.faults.budget_resets = reset
        for link in self.links:
            link.budget = sent

    async def swallow(self, after: str, times: int | None) -> None:
        self.faults.swallow_after = after.encode("latin1")
        self.faults.swallow_times = times

    async def refuse(self) -> None:
        self.entrance.close()

    async def drop_connects(self) -> None:
        self.entrance.fill()

    async def count(self) -> None:
        """Nothing but the answer, which each command has."""

    def counts(self) -> dict[str, int]:
        return {"connections": len(self.links), "swallowing": self.faults.swallowing}


async def obey(commands: Commands) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        command, arguments = json.loads(line)
        method: Callable[..., Any] = getattr(commands, command)
        await method(**arguments)
        print(json.dumps(commands.counts()), flush=True)


def main() -> None:
    port, server_port = map(int, sys.argv[1:])
    loop = asyncio.SelectorEventLoop(PreciseSelector())
    loop.run_until_complete(obey(Commands(port, server_port)))
    # The parent has gone or wants the end: whoever is connected is cut off.
    os._exit(0)


if __name__ == "__main__":
    main()
