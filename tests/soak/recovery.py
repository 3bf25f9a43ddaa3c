"""`make recovery`: how soon a site serves again once its server is back."""

from __future__ import annotations

import contextlib
import io
import socket
import statistics
import threading
import time

from tests.harness.processes import HOST, poll
from tests.sites import Kind

from .bank import Bank, open_bank
from .clients import GOOD, Clients

TIMES = 5
AWAY = 1.0
CLIENTS = 4
PATIENCE = 30.0


def main() -> None:
    kinds: tuple[Kind, ...] = ("gunicorn", "uvicorn")
    for kind in kinds:
        with contextlib.redirect_stdout(io.StringIO()):  # what the site has logged
            took = recoveries(kind)
        print(
            f"{kind}: from the server's first accepted connection to the first good "
            f"answer {statistics.median(took):.2f} s, at most {max(took):.2f} s "
            f"({len(took)} restarts)",
            flush=True,
        )


def recoveries(kind: Kind, times: int = TIMES) -> list[float]:
    """Seconds from when the server accepts again to the first good answer."""
    with open_bank(kind) as bank, Clients(bank.site.server.port, CLIENTS, 0) as clients:
        return [_recovery(bank, clients) for _ in range(times)]


def _recovery(bank: Bank, clients: Clients) -> float:
    _wait_for_good_after(clients, time.monotonic())
    bank.server.stop()
    time.sleep(AWAY)
    away = time.monotonic()
    starting = threading.Thread(target=bank.server.start)
    starting.start()
    accepts = _wait_for_accept(bank.server.port)
    _wait_for_good_after(clients, away)
    starting.join()
    good = min(
        transfer.ended
        for transfer in clients.transfers
        if transfer.outcome in GOOD and transfer.ended > away
    )
    return good - accepts


def _wait_for_good_after(clients: Clients, moment: float) -> None:
    if not poll(lambda: clients.last_good > moment, PATIENCE):
        raise TimeoutError(f"no good answer in {PATIENCE:g} s")


def _wait_for_accept(port: int) -> float:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), timeout=1).close()
            return time.monotonic()
        time.sleep(0.001)
    raise TimeoutError(f"the server accepts nobody in {PATIENCE:g} s")


if __name__ == "__main__":
    main()
