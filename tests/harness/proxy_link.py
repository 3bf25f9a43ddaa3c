"""One client's connection through the proxy, and the faults that befall it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from dataclasses import dataclass, field

#: close() then resets the connection instead of ending it in good order.
RESET = struct.pack("ii", 1, 0)


@dataclass
class Faults:
    """What is in force for all connections. Times are in seconds."""

    moving: asyncio.Event = field(default_factory=asyncio.Event)
    to_server: float = 0.0
    to_client: float = 0.0
    budget: int | None = None
    #: Whether who has spent it is reset, and not only ended.
    budget_resets: bool = False
    swallow_after: bytes | None = None
    swallow_times: int | None = None
    #: How many connections have been befallen by it.
    swallowing: int = 0

    def end(self) -> None:
        self.moving.set()
        self.to_server = self.to_client = 0.0
        self.budget = self.swallow_after = self.swallow_times = None

    def swallows(self, sent: bytes) -> bool:
        """Whether the answers to whoever has sent *sent* are to be swallowed."""
        after, times = self.swallow_after, self.swallow_times
        if after is None or after not in sent or times == 0:
            return False
        if times is not None:
            self.swallow_times = times - 1
        self.swallowing += 1
        return True


class End(asyncio.Protocol):
    """One side of a link: what arrives here leaves on the other."""

    transport: asyncio.Transport | None = None

    def __init__(self, link: Link) -> None:
        self.link = link
        self.loop = asyncio.get_running_loop()
        #: What is under way to this side, and when it is due; None is the end.
        self.coming: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.connected(self)

    def data_received(self, data: bytes) -> None:
        self.link.arrived(self, data)

    def eof_received(self) -> bool:
        self.link.arrived(self, None)
        return True  # this side stays open until the other has got all

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if exc is None:
            self.link.arrived(self, None)
        else:
            self.link.reset()

    def pause_writing(self) -> None:
        self.link.other(self).pause()

    def resume_writing(self) -> None:
        if self.link.faults.moving.is_set():
            self.link.other(self).resume()

    def pause(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def deliver(self, data: bytes | None, delay: float) -> None:
        """Send *data* out on this side, after what is under way and *delay*."""
        # Python 3.10 may read once from a transport that was paused at once, so there
        # can be something to deliver before this side is connected.
        if delay or self.coming or not self._may_send():
            self.coming.append((self.loop.time() + delay, data))
            self.flush()
        else:
            self._send(data)

    def flush(self) -> None:
        """Send what is due, and wake up when the next is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._may_send():
            return
        while self.coming and self.coming[0][0] <= self.loop.time():
            self._send(self.coming.popleft()[1])
        if self.coming:
            self._timer = self.loop.call_at(self.coming[0][0], self.flush)

    def _may_send(self) -> bool:
        return self.transport is not None and self.link.faults.moving.is_set()

    def _send(self, data: bytes | None) -> None:
        if self.transport is None:
            return
        if data is None:
            self.transport.close()
        else:
            self.transport.write(data)

    def reset(self) -> None:
        self.coming.clear()
        transport, self.transport = self.transport, None
        if transport is not None:
            with contextlib.suppress(OSError):
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, RESET
                )
            transport.abort()


class Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(
        self, server: tuple[str, int], faults: Faults, links: set[Link]
    ) -> None:
        self.faults = faults
        #: How many bytes the client may still get before it is cut off.
        self.budget = faults.budget
        self.client = End(self)
        self.server = End(self)
        self._address = server
        self._links = links
        self._answers = True
        self._whole = False
        self._connecting: asyncio.Task[None] | None = None

    def other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def connected(self, end: End) -> None:
        if end is self.client:
            self._links.add(self)
            # Nobody is there yet to whom what it sends could go.
            end.pause()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        self._whole = True
        if not self.faults.moving.is_set():
            end.pause()

    async def _connect(self) -> None:
        await self.faults.moving.wait()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.server, *self._address
            )
        except OSError:
            self.reset()
            return
        if self.client.transport is None:
            self.reset()
            return
        self._answers = not self.faults.swallows(b"")
        if self.faults.moving.is_set():
            self.move()

    def arrived(self, end: End, data: bytes | None) -> None:
        """Hand *data* over to the other side, if no fault is against it."""
        if data is None:
            self._links.discard(self)
        if end is self.client:
            if data is not None and self._answers:
                self._answers = not self.faults.swallows(data)
            self.server.deliver(data, self.faults.to_server)
        elif data is None or self._answers:
            self._answer(data)

    def _answer(self, data: bytes | None) -> None:
        if data is not None and self.budget is not None:
            data = data[: self.budget]
            self.budget -= len(data)
        self.client.deliver(data, self.faults.to_client)
        if self.budget == 0 and data is not None:
            if self.faults.budget_resets:
                self.reset()
            else:
                self.client.deliver(None, self.faults.to_client)

    def halt(self) -> None:
        self.client.pause()
        self.server.pause()

    def move(self) -> None:
        if self._whole:
            for end in (self.client, self.server):
                end.flush()
                end.resume()

    def reset(self) -> None:
        self._links.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.reset()
        self.server.reset()
