"""Thousands of clients, a third of which hang up whenever they like."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.harness.processes import poll
from tests.harness.server import Server
from tests.sites import ConnectionCounter, Site, serve

SEED = 20261126
CLIENTS = 40
POOL_SIZE = 5
PATHS = ("/echo", "/echo-async", "/echo-in-atomic")
LONGEST_QUERY = 0.004
LONGEST_PATIENCE = 0.06
TOKEN = re.compile(rb"\r\n\r\n(?:[0-9a-f]+\r\n)?(\w+)")


@dataclass
class Storm:
    """Sends *requests* requests; a third of the clients leave before the answer."""

    site: Site
    requests: int
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    outcomes: Counter[Any] = field(default_factory=Counter)
    name: str = field(default_factory=lambda: secrets.token_hex(4))

    async def rage(self) -> None:
        tokens = iter(range(self.requests))
        await asyncio.gather(*(self._client(tokens) for _ in range(CLIENTS)))

    async def _client(self, tokens: Any) -> None:
        for number in tokens:
            self.outcomes[await self._request(f"{self.name}n{number}")] += 1

    async def _request(self, token: str) -> object:
        server = self.site.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            path = self.chance.choice(PATHS)
            seconds = self.chance.uniform(0, LONGEST_QUERY)
            writer.write(
                f"GET {path}?token={token}&seconds={seconds:.4f} HTTP/1.1\r\n"
                "Host: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            if self.chance.random() < 1 / 3:
                await asyncio.sleep(self.chance.uniform(0, LONGEST_PATIENCE))
                if self.chance.random() < 1 / 2:
                    writer.transport.abort()
                return "left"
            answer = await reader.read()
        finally:
            writer.close()
        return self._judge(answer, token)

    def _judge(self, answer: bytes, token: str) -> object:
        status = int(answer[9:12])
        if status == 200:
            told = TOKEN.search(answer)
            assert told is not None, answer
            assert told[1].decode() == token
        return status


@pytest.mark.parametrize(("door", "requests"), [(False, 10_000), (True, 3_000)])
def test_clients_that_hang_up_cost_no_connection(
    server: Server, site_database: dict[str, Any], door: bool, requests: int
) -> None:
    pool = {"pool_size": POOL_SIZE, "queue_target": None}
    with serve("uvicorn", database=site_database, door=door, pool=pool) as site:
        storm = Storm(site, requests)
        with ConnectionCounter(server, site_database["NAME"]) as connections:
            asyncio.run(storm.rage())
        site.assert_nothing_left()
        assert connections.most <= POOL_SIZE
        assert storm.outcomes.keys() == {200, "left"}, storm.outcomes
        assert sum(storm.outcomes.values()) == requests

        later = [site.get(f"/echo?token=later{number}") for number in range(100)]
        assert [answer.body for answer in later] == [
            f"later{number}" for number in range(100)
        ]
        assert server.open_transactions() == 0
        assert poll(lambda: site.state()["in_use"] == 0)
        assert "Traceback" not in site.server.log()
