"""The load generator says why a request got no answer."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.load import Plan, drive


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "closed before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1", "cut short"),
    ],
)
def test_an_answer_that_does_not_come(sent: bytes, why: str) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()
        await writer.wait_closed()

    async def ask() -> dict[str, int]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            plan = Plan(f"http://127.0.0.1:{port}/", clients=1, requests_each=1)
            return dict((await drive(plan)).failures)

    assert asyncio.run(ask()) == {why: 1}
