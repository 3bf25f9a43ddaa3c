"""A TCP proxy in front of a server, which does harm to its connections on demand.

    with Proxy(server.port) as proxy:
        database = proxy.through(server.database("shop"))
        proxy.delay(to_server=0.0005, to_client=0.0005)
        proxy.stop()
        proxy.forward()

It runs in a process of its own, which ends with this one. Each fault is in force when
its method returns, and ends with forward(). Several can be in force together.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .processes import HOST, free_port
from .started import Started

ROOT = Path(__file__).parents[2]


class ProxyFailed(Exception):
    """The proxy's process has ended, or refused what it was told."""


class Proxy(Started):
    """Clients of `port` reach the server's port, if nothing else has been told."""

    def __init__(self, server_port: int) -> None:
        self.host = HOST
        self.port = free_port()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.harness.proxy_process"),
                *(str(self.port), str(server_port)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )

    def start(self) -> None:
        self.forward()

    def close(self) -> None:
        """End the proxy and its connections. Idempotent."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def through(self, database: Mapping[str, Any]) -> dict[str, Any]:
        """Django's settings of a database, led through the proxy."""
        return {**database, "HOST": self.host, "PORT": self.port}

    def forward(self) -> None:
        """End every fault. What a fault has done to a connection stays done."""
        self._tell("forward")

    def stop(self) -> None:
        """A black hole: nothing passes, nothing is closed, and nothing gets lost.

        New connections are accepted, and what was sent arrives after forward().
        """
        self._tell("stop")

    def delay(self, *, to_server: float = 0.0, to_client: float = 0.0) -> None:
        """Let whatever passes take so many seconds longer, in the same order."""
        self._tell("delay", to_server=to_server, to_client=to_client)

    def cut(self) -> None:
        """Reset all connections that there are, once."""
        self._tell("cut")

    def cut_after(self, sent: int, *, reset: bool = False) -> None:
        """End each connection, or reset it, when its client has got so many bytes more.

        A reset does not wait for what a delay holds back.
        """
        self._tell("cut_after", sent=sent, reset=reset)

    def swallow(self, after: bytes = b"", *, times: int | None = None) -> None:
        """Keep from clients whatever the server answers, from the next *after* on.

        *after* is what a client sends (b"COMMIT"); nothing means anything, and then a
        new connection gets no greeting either. The connection stays open, and its
        client gets nothing more even after forward(). With *times* it happens to so
        many connections and no more.
        """
        self._tell("swallow", after=after.decode("latin1"), times=times)

    def refuse(self) -> None:
        """Refuse new connections; those that there are go on."""
        self._tell("refuse")

    def drop_connects(self) -> None:
        """Let new connections hang: the kernel drops their SYN, as firewalls do."""
        self._tell("drop_connects")

    def connections(self) -> int:
        """How many connections of clients there are."""
        return self._tell("count")["connections"]

    def swallowing(self) -> int:
        """How many connections have had their answers swallowed so far."""
        return self._tell("count")["swallowing"]

    def _tell(self, command: str, **arguments: object) -> dict[str, int]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            try:
                print(json.dumps([command, arguments]), file=process.stdin, flush=True)
            except BrokenPipeError:
                raise ProxyFailed("the proxy's process has ended") from None
            answer = process.stdout.readline()
        if not answer:
            raise ProxyFailed(f"the proxy's process ended at {command!r}")
        counts: dict[str, int] = json.loads(answer)
        return counts
