"""What a load generator remembers: every answer, when it came and how long it took."""

from __future__ import annotations

import base64
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NONE = 0
"""The status of "no answer": refused, reset, cut short or timed out."""


@dataclass(slots=True)
class Report:
    """One entry per request in the four arrays, in order of completion, in seconds.

    `requests` is an index into `Plan.requests`, `since` and `until` bound the time the
    load was on, `failures` says why there was no answer, `without_retry_after` counts
    503s that lack the header, `header_values` counts the values of `Plan.watch_header`,
    `reasons` those of 503s as JSON, and `lag` is the latest (open loop) that the
    generator itself came to send a request that was due.
    """

    statuses: array[int] = field(default_factory=lambda: array("H"))
    latencies: array[float] = field(default_factory=lambda: array("d"))
    completed: array[float] = field(default_factory=lambda: array("d"))
    requests: array[int] = field(default_factory=lambda: array("H"))
    since: float = 0.0
    until: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0
    header_values: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lag: float = 0.0

    def __len__(self) -> int:
        return len(self.statuses)

    def add(self, status: int, latency: float, completed: float, request: int) -> None:
        self.statuses.append(status)
        self.latencies.append(latency)
        self.completed.append(completed)
        self.requests.append(request)

    @property
    def counts(self) -> Counter[int]:
        return Counter(self.statuses)

    @property
    def good(self) -> int:
        return sum(is_good(status) for status in self.statuses)

    @property
    def good_per_second(self) -> float:
        """Good answers completed while the load was on; stragglers do not count."""
        answers = zip(self.statuses, self.completed, strict=True)
        in_time = sum(
            is_good(s) and self.since <= at <= self.until for s, at in answers
        )
        return in_time / (self.until - self.since) if self.until > self.since else 0.0

    def percentile(self, percent: float, status: int | None = None) -> float:
        """A latency, of answers with `status` or of all; nan if there are none."""
        answers = zip(self.statuses, self.latencies, strict=True)
        latencies = sorted(took for s, took in answers if status in (None, s))
        if not latencies:
            return math.nan
        return latencies[max(0, math.ceil(len(latencies) * percent / 100) - 1)]

    def where(
        self,
        *,
        request: int | None = None,
        after: float = 0.0,
        before: float = math.inf,
    ) -> Report:
        """Only the answers to one of the plan's requests, or of a span of time.

        `failures`, `without_retry_after`, `header_values` and `reasons` stay those of
        the whole.
        """
        part = replace(
            self,
            statuses=array("H"),
            latencies=array("d"),
            completed=array("d"),
            requests=array("H"),
            since=max(self.since, after),
            until=min(self.until, before),
        )
        rows = zip(
            self.statuses, self.latencies, self.completed, self.requests, strict=True
        )
        for row in rows:
            if after <= row[2] < before and request in (None, row[3]):
                part.add(*row)
        return part

    def dump(self) -> dict[str, Any]:
        return {
            name: packed(value) if isinstance(value, array) else value
            for name, value in ((slot, getattr(self, slot)) for slot in self.__slots__)
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Report:
        report = cls(**dumped)
        for name, typecode in (
            ("statuses", "H"),
            ("latencies", "d"),
            ("completed", "d"),
            ("requests", "H"),
        ):
            setattr(report, name, unpacked(typecode, dumped[name]))
        report.failures = Counter(dumped["failures"])
        report.header_values = Counter(dumped["header_values"])
        report.reasons = Counter(dumped["reasons"])
        return report


def is_good(status: int) -> bool:
    return 200 <= status < 400


def packed(values: array[Any]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), level=1)).decode()


def unpacked(typecode: str, text: str) -> array[Any]:
    values: array[Any] = array(typecode)
    values.frombytes(zlib.decompress(base64.b64decode(text)))
    return values
