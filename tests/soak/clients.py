"""Clients who transfer money, and remember what they were told."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlencode

from tests.harness.processes import HOST

ACCOUNTS = 12
LOOK = 0.3
HANG_UP = 0.02
PAUSE_AFTER_REFUSAL = 0.05
TIMEOUT = 30.0


class Outcome(str, Enum):
    """What a transfer's client knows about it."""

    DONE = "200"
    LOOKED = "200, nothing to store"
    BUSY = "409, a deadlock or a killed statement"
    RETRY = "503 with Retry-After"
    DOUBT = "503 without"
    HUNG_UP = "client hung up"
    WRONG_TOKEN = "200 with another's answer"
    ERROR = "another answer"
    NONE = "no answer"


GOOD = (Outcome.DONE, Outcome.LOOKED)


@dataclass(frozen=True, slots=True)
class Transfer:
    token: str
    outcome: Outcome
    detail: str
    ended: float


class Clients:
    """*count* threads that transfer until the end, some of them impatient."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        self.transfers: list[Transfer] = []
        self.last_good = 0.0
        self._port = port
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run, args=(number, random.Random(f"{seed} {number}"))
            )
            for number in range(count)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def counts(self) -> Counter[Outcome]:
        return Counter(transfer.outcome for transfer in list(self.transfers))

    def _run(self, client: int, chance: random.Random) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            token = f"{client}-{number}-{chance.getrandbits(32):08x}"
            outcome, detail = self._transfer(token, chance)
            now = time.monotonic()
            self.transfers.append(Transfer(token, outcome, detail, now))
            if outcome in GOOD:
                self.last_good = now
            elif outcome is not Outcome.HUNG_UP:
                self._stop.wait(PAUSE_AFTER_REFUSAL)

    def _transfer(self, token: str, chance: random.Random) -> tuple[Outcome, str]:
        source, target = chance.sample(range(1, ACCOUNTS + 1), 2)
        query = urlencode(
            {
                "token": token,
                "source": source,
                "target": target,
                "amount": chance.randint(1, 100),
            }
        )
        if chance.random() < HANG_UP:
            self._hang_up(f"/transfer?{query}", chance.random() * 0.05)
            return Outcome.HUNG_UP, ""
        try:
            if chance.random() < LOOK:
                return self._ask("GET", f"/look?{query}", token, Outcome.LOOKED)
            return self._ask("POST", f"/transfer?{query}", token, Outcome.DONE)
        except (OSError, http.client.HTTPException) as error:
            return Outcome.NONE, repr(error)

    def _ask(
        self, method: str, path: str, token: str, good: Outcome
    ) -> tuple[Outcome, str]:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT)
        try:
            connection.request(method, path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        match response.status:
            case 200:
                return (good if body == token else Outcome.WRONG_TOKEN), body
            case 409:
                return Outcome.BUSY, ""
            case 503 if response.getheader("Retry-After"):
                return Outcome.RETRY, body
            case 503:
                return Outcome.DOUBT, body
        return Outcome.ERROR, f"{response.status} {body[:200]}"

    def _hang_up(self, path: str, after: float) -> None:
        try:
            with socket.create_connection((HOST, self._port), TIMEOUT) as connection:
                message = (
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                )
                connection.sendall(message.encode())
                time.sleep(after)
        except OSError:
            pass  # it wanted no answer, and has none
