"""A site whose connections to its database lead through a proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.kinds import private_server
from tests.harness.private import PrivateServer
from tests.harness.processes import poll
from tests.harness.proxy import Proxy
from tests.sites import Kind, Site, make_tables, serve

POOL_SIZE = 4


@dataclass
class Distant:
    """A served site, the proxy, and the server behind it."""

    site: Site
    proxy: Proxy
    server: PrivateServer

    def is_settled(self) -> bool:
        processes = self.server.process_list()
        return (
            self.site.at_rest()
            and len(processes) <= POOL_SIZE
            and all(process["command"] == "Sleep" for process in processes)
            and self.server.open_transactions() == 0
        )

    def assert_settled(self) -> None:
        """Every permit is free, and the server holds idle connections at most."""
        assert poll(self.is_settled), (
            self.site.state(),
            self.server.process_list(),
            self.server.open_transactions(),
        )


@pytest.fixture(scope="package")
def distant_server() -> Iterator[PrivateServer]:
    with private_server() as server:
        make_tables(server.database("distant"))
        yield server


@pytest.fixture
def distant(distant_server: PrivateServer) -> Iterator[Callable[..., Distant]]:
    """Serve the test site behind a proxy; all must be settled at the end."""
    database = distant_server.database("distant")
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Proxy(distant_server.port))

        def serve_until_the_end(
            kind: Kind,
            *,
            pool: dict[str, Any] | None = None,
            atomic_requests: bool = False,
            **options: Any,
        ) -> Distant:
            behind = {**proxy.through(database), "ATOMIC_REQUESTS": atomic_requests}
            pool = {"pool_size": POOL_SIZE, "timeout": 1, **(pool or {})}
            site = stack.enter_context(
                serve(
                    kind,
                    database=behind,
                    threads=24,
                    door=True,
                    options={**options, "pool": pool},
                )
            )
            found = Distant(site, proxy, distant_server)
            stack.callback(found.assert_settled)
            return found

        yield serve_until_the_end
