"""Clients whose requests and answers can be told apart."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.sites import Answer, Site

JSON = {"Accept": "application/json"}


@dataclass(frozen=True)
class Told:
    """What one request was told. Times are on the monotonic clock."""

    token: str
    answer: Answer
    began: float
    ended: float

    @property
    def took(self) -> float:
        return self.ended - self.began

    @property
    def is_good(self) -> bool:
        return self.answer.status == 200

    @property
    def may_be_tried_again(self) -> bool:
        return "retry-after" in map(str.lower, self.answer.headers)

    @property
    def reason(self) -> str:
        reason: str = json.loads(self.answer.body)["reason"]
        return reason


class Crowd:
    """*clients* threads that ask *path* with a new token each time, until the end."""

    def __init__(
        self,
        site: Site,
        path: str,
        *,
        clients: int,
        method: str = "GET",
        delay: float = 0.0,
    ) -> None:
        self.told: list[Told] = []
        self._site = site
        self._path = path
        self._method = method
        self._delay = delay
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def wait_for(
        self, enough: int, which: Callable[[Told], bool] = lambda told: told.is_good
    ) -> None:
        """Wait until so many more answers of a kind have come."""
        seen = len(self.told)
        deadline = time.monotonic() + 20
        while sum(map(which, self.told[seen:])) < enough:
            assert not self._failures, self._failures
            assert time.monotonic() < deadline, self.told[seen:]
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                number = next(self._numbers)
                self.told.append(
                    ask(self._site, self._path, f"t{number}", method=self._method)
                )
                self._stop.wait(self._delay)
        except Exception as failure:
            self._failures.append(failure)
            raise


def ask(site: Site, path: str, token: str, *, method: str = "GET") -> Told:
    began = time.monotonic()
    joined = "&" if "?" in path else "?"
    answer = site.get(f"{path}{joined}token={token}", method=method, headers=JSON)
    return Told(token, answer, began, time.monotonic())


def ask_together(site: Site, path: str, count: int) -> list[Told]:
    """Send *count* requests at once, and await all."""
    told: list[Told] = []
    threads = [
        threading.Thread(target=lambda n=n: told.append(ask(site, path, f"t{n}")))
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == count
    return told


def assert_own_answers(told: list[Told]) -> None:
    """Each good answer is that to its own request's statements, and to no other's."""
    for one in told:
        if one.is_good:
            assert one.answer.body == one.token, one
