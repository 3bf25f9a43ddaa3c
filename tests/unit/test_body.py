"""A client that is still sending, listened to under ASGI and waited for under WSGI."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pooled_db.request.body import Body, ClientStream
from pooled_db.request.scope import Scope
from tests.gates import PATIENCE

LAST = {"type": "http.request", "body": b"last", "more_body": False}
GONE = {"type": "http.disconnect"}
Listen = Callable[[], None]


class Asgi:
    """What an ASGI server receives, and whether the request is let in."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.receivers = 0
        self.let_in = asyncio.Event()
        self.body = Body(self._receive, self._admit)

    async def _receive(self) -> dict[str, Any]:
        self.receivers += 1
        try:
            return await self.incoming.get()
        finally:
            self.receivers -= 1

    async def _admit(self) -> None:
        await self.let_in.wait()

    async def until_listened_to(self) -> None:
        while not self.receivers:
            await asyncio.sleep(0)


def of_loop(scenario: Callable[[Asgi], Awaitable[None]]) -> None:
    async def in_time() -> None:
        # wait_for() takes what was cancelled, and ended all the same, for done in time.
        task = asyncio.ensure_future(scenario(Asgi()))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        assert done
        task.result()

    asyncio.run(in_time())


def test_what_came_while_it_waited_is_what_the_application_gets_next() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.incoming.put_nowait(LAST)
        served = asyncio.ensure_future(asgi.body.may_be_served())
        await asgi.until_listened_to()
        asgi.let_in.set()
        assert await served
        assert await asgi.body.receive() == LAST
        asgi.incoming.put_nowait(GONE)
        assert await asgi.body.receive() == GONE
        # Whoever asks again gets what the server says then, and not the same again.
        asgi.incoming.put_nowait({"type": "http.disconnect", "again": True})
        assert await asgi.body.receive() == {"type": "http.disconnect", "again": True}
        assert asgi.receivers == 0

    of_loop(scenario)


def test_whoever_is_let_in_at_once_is_listened_to_by_the_application_alone() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.incoming.put_nowait(LAST)
        asgi.let_in.set()
        assert await asgi.body.may_be_served()
        for _ in range(3):  # whatever was begun has its turn
            await asyncio.sleep(0)
        assert asgi.receivers == 0
        assert await asgi.body.receive() == LAST

    of_loop(scenario)


def test_whoever_goes_while_it_waits_is_served_no_more() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.incoming.put_nowait(LAST)
        served = asyncio.ensure_future(asgi.body.may_be_served())
        await asgi.until_listened_to()
        asgi.incoming.put_nowait(GONE)
        assert not await served
        assert asgi.body.error is None

    of_loop(scenario)


def test_what_goes_wrong_because_it_goes_is_not_hidden_by_that() -> None:
    async def scenario(asgi: Asgi) -> None:
        mistake = RuntimeError("a mistake")

        async def admit() -> None:
            try:
                await asgi.let_in.wait()
            except asyncio.CancelledError:
                raise mistake from None

        body = Body(asgi._receive, admit)
        asgi.incoming.put_nowait(LAST)
        served = asyncio.ensure_future(body.may_be_served())
        await asgi.until_listened_to()
        asgi.incoming.put_nowait(GONE)
        assert not await served
        assert body.error is mistake

    of_loop(scenario)


def cancellations(task: asyncio.Future[Any]) -> int:
    """How often *task* is cancelled; Python counts that since 3.11."""
    return task.cancelling() if hasattr(task, "cancelling") else 0


@pytest.mark.parametrize("others", [0, 1])
def test_its_going_cancels_nothing_but_the_wait(others: int) -> None:
    """Else asyncio.timeout() around the request takes it for another's doing."""

    async def scenario(asgi: Asgi) -> None:
        counts: list[int] = []

        async def serve() -> None:
            task = asyncio.current_task()
            assert task is not None
            for _ in range(others):  # long ago, and somebody has dealt with it
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            counts.append(cancellations(task))
            assert not await asgi.body.may_be_served()
            counts.append(cancellations(task))
            asgi.body.forget()
            assert not await asgi.body.is_awaited(for_ever)
            counts.append(cancellations(task))

        asgi.incoming.put_nowait(LAST)
        served = asyncio.ensure_future(serve())
        for _ in range(2):
            await asgi.until_listened_to()
            await asgi.incoming.put(GONE)
            while asgi.receivers:
                await asyncio.sleep(0)
        await served
        assert len(set(counts)) == 1

    of_loop(scenario)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="nobody counts cancellations")
def test_who_is_cancelled_while_it_goes_is_cancelled() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.incoming.put_nowait(LAST)
        served = asyncio.ensure_future(asgi.body.may_be_served())
        await asgi.until_listened_to()
        asgi.incoming.put_nowait(GONE)
        while asgi.receivers:
            await asyncio.sleep(0)
        served.cancel()
        assert not await served
        assert isinstance(asgi.body.error, asyncio.CancelledError)

    of_loop(scenario)


# Until a refusal leaves.


async def for_ever(listen: Listen) -> None:
    listen()
    listen()  # once more makes no second listener
    await asyncio.Future()


def test_whoever_goes_while_a_refusal_is_held_need_not_be_told() -> None:
    async def scenario(asgi: Asgi) -> None:
        told = asyncio.ensure_future(asgi.body.is_awaited(for_ever))
        await asgi.until_listened_to()
        await asyncio.sleep(0)
        assert asgi.receivers == 1
        asgi.incoming.put_nowait(GONE)
        assert not await told

    of_loop(scenario)


def test_whoever_has_gone_before_is_not_waited_for() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.incoming.put_nowait(LAST)
        asgi.let_in.set()
        assert await asgi.body.may_be_served()
        asgi.body._listen()
        await asgi.until_listened_to()
        asgi.incoming.put_nowait(GONE)
        while asgi.receivers:
            await asyncio.sleep(0)
        await asyncio.sleep(0)

        async def wait(listen: Listen) -> None:
            pytest.fail("it is waited")

        assert not await asgi.body.is_awaited(wait)

    of_loop(scenario)


def test_whoever_stays_is_told_when_the_wait_is_over() -> None:
    async def scenario(asgi: Asgi) -> None:
        waited: list[bool] = []

        async def wait(listen: Listen) -> None:
            listen()
            await asgi.until_listened_to()
            waited.append(True)

        assert await asgi.body.is_awaited(wait)
        assert waited == [True]
        # After that nobody is cancelled because the client goes.
        asgi.incoming.put_nowait(GONE)
        while asgi.receivers:
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    of_loop(scenario)


def test_a_task_that_is_cancelled_meanwhile_is_cancelled() -> None:
    async def scenario(asgi: Asgi) -> None:
        told = asyncio.ensure_future(asgi.body.is_awaited(for_ever))
        await asgi.until_listened_to()
        told.cancel()
        with pytest.raises(asyncio.CancelledError):
            await told

    of_loop(scenario)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="nobody counts cancellations")
def test_so_is_one_whose_client_goes_at_the_same_time() -> None:
    async def scenario(asgi: Asgi) -> None:
        told = asyncio.ensure_future(asgi.body.is_awaited(for_ever))
        await asgi.until_listened_to()
        asgi.incoming.put_nowait(GONE)
        while asgi.receivers:
            await asyncio.sleep(0)
        told.cancel()
        with pytest.raises(asyncio.CancelledError):
            await told

    of_loop(scenario)


def test_nobody_listens_to_whom_is_forgotten() -> None:
    async def scenario(asgi: Asgi) -> None:
        asgi.body._listen()
        await asgi.until_listened_to()
        asgi.body.forget()
        while asgi.receivers:
            await asyncio.sleep(0)

    of_loop(scenario)


# Under WSGI.


class Upload(io.BytesIO):
    """Notes at each reading whether its request waits for its client."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(b"one\ntwo\n")
        self.scope = scope
        self.waited_for: list[bool] = []

    def read(self, *args: Any) -> bytes:
        self.waited_for.append(self.scope.receiving_since is not None)
        return super().read(*args)

    def readline(self, *args: Any) -> bytes:
        self.waited_for.append(self.scope.receiving_since is not None)
        return super().readline(*args)

    def readlines(self, *args: Any) -> list[bytes]:
        self.waited_for.append(self.scope.receiving_since is not None)
        return [b"one\n", b"two\n"]


@pytest.mark.parametrize("before", [None, 12.5])
@pytest.mark.parametrize(
    ("read", "gets"),
    [
        (lambda stream: stream.read(), b"one\ntwo\n"),
        (lambda stream: stream.read(2), b"on"),
        (lambda stream: stream.readline(), b"one\n"),
        (lambda stream: stream.readline(2), b"on"),
        (lambda stream: stream.readlines(), [b"one\n", b"two\n"]),
        (list, [b"one\n", b"two\n"]),
    ],
)
def test_each_way_of_reading_reads_the_same_and_is_a_wait_for_the_client(
    read: Callable[[ClientStream], object], gets: object, before: float | None
) -> None:
    """A streaming body waits for its client before and after, too."""
    scope = Scope()
    scope.receiving_since = before
    upload = Upload(scope)
    assert read(ClientStream(upload, scope)) == gets
    assert upload.waited_for
    assert all(upload.waited_for)
    assert scope.receiving_since == before


def test_all_else_is_the_servers_own_stream() -> None:
    upload = Upload(Scope())
    stream = ClientStream(upload, upload.scope)
    stream.seek(4)
    assert (stream.tell(), stream.waited_for) == (4, [])
