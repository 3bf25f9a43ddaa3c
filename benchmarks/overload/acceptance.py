"""What the overload promises come down to, checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.overload.cases import FEW_CLIENTS, MANY_CLIENTS, SOME_CLIENTS, Case
from benchmarks.overload.measurement import Measurement
from benchmarks.overload.tables import Measurements

OVERLOAD = 10.0
SECONDS = 20.0
BURST_TIMES, BURST_SECONDS = 2.0, 0.5

DATABASE_PEER = "dj-pool"


def _case(contender: str, seconds: float, **shape: Any) -> Case:
    values: dict[str, Any] = {"server": "uvicorn", **shape}
    return Case(contender_name=contender, seconds=seconds, **values)


def acceptance_cases(seconds: float) -> dict[str, Case]:
    """By the names that the checks have for them, in the order of measuring."""
    gthread: dict[str, Any] = {"server": "gunicorn"}
    shapes: dict[str, dict[str, Any]] = {
        "new": {"times": OVERLOAD},
        "kept": {"times": OVERLOAD, "keepalive": True},
        "one core": {"times": OVERLOAD, "place": "one core"},
        "busy": {"times": OVERLOAD, "place": "busy"},
        "20x": {"times": 2 * OVERLOAD},
        "few": {"clients": FEW_CLIENTS},
        "many": {"clients": MANY_CLIENTS},
        "many kept": {"clients": MANY_CLIENTS, "keepalive": True},
        "some": {"clients": SOME_CLIENTS},
        "gthread": {"times": OVERLOAD, **gthread},
        "patient": {"times": 0.5, "part": "patient"},
        "patient by header": {"times": 0.5, "part": "patient by header"},
        "gthread patient": {"times": 0.5, "part": "patient", **gthread},
        "gthread patient by header": {
            "times": 0.5,
            "part": "patient by header",
            **gthread,
        },
        "priority": {"times": OVERLOAD, "part": "priority"},
    }
    named = {name: _case("door", seconds, **shape) for name, shape in shapes.items()}
    named["peer"] = _case(DATABASE_PEER, seconds, clients=SOME_CLIENTS)
    burst = {"times": BURST_TIMES}
    named["burst"] = _case("door", BURST_SECONDS, **burst)
    named["gthread burst"] = _case("door", BURST_SECONDS, **burst, **gthread)
    return named


@dataclass(frozen=True, slots=True)
class Check:
    promise: str
    figure: str
    holds: bool


def checks(cases: Mapping[str, Case], measured: Measurements) -> Iterator[Check]:
    for promise, judge, names in PROMISES:
        missing = [name for name in names if cases[name] not in measured]
        if missing:
            figure, holds = f"not measured: {', '.join(missing)}", False
        else:
            figure, holds = judge(*(measured[cases[name]] for name in names))
        yield Check(promise, figure, holds)


Verdict = tuple[str, bool]
Judge = Callable[..., Verdict]


def _at_most(value: float | None, most: float) -> Verdict:
    if value is None:
        return f"there were none (at most {most:g} s)", False
    return f"{value:.3f} s (at most {most:g} s)", value <= most


def _at_least(good: float, least: float) -> Verdict:
    return f"{good:.1f}/s (at least {least:.1f}/s)", good >= least


def _good(least: float) -> Judge:
    return lambda one: _at_least(one.whole.good_per_second, least)


def _good_within(most: float) -> Judge:
    return lambda one: _at_most(one.settled.p99_good, most)


def _refused_within(most: float) -> Judge:
    return lambda one: _at_most(one.settled.p99_refused, most)


def _all_answered(one: Measurement) -> Verdict:
    counts = one.whole.counts
    others = sum(counts.values()) - counts.get(200, 0) - counts.get(503, 0)
    why = f" {one.failures}" if one.failures else ""
    return f"{others} of {sum(counts.values()):,} got neither{why}", others == 0


def _share_of(least: float) -> Judge:
    def judge(few: Measurement, many: Measurement) -> Verdict:
        return _at_least(many.whole.good_per_second, least * few.whole.good_per_second)

    return judge


def _served(least: float) -> Judge:
    def judge(one: Measurement) -> Verdict:
        asked = sum(one.whole.counts.values())
        share = one.whole.good / asked if asked else 0.0
        return f"{share:.1%} (at least {least:.0%})", share >= least

    return judge


def _none_refused(one: Measurement) -> Verdict:
    counts = one.whole.counts
    return f"{counts}", set(counts) == {200}


def _recovery(one: Measurement) -> Verdict:
    return _at_most(one.next_served, 0.3)


def _of(name: str, *judges: tuple[str, Judge]) -> Iterator[Promise]:
    for promise, judge in judges:
        yield f"{name}: {promise}", judge, (name,)


Promise = tuple[str, Judge, tuple[str, ...]]

#: What is promised, who judges it, and the cases that it is judged by.
PROMISES: tuple[Promise, ...] = (
    *(
        promise
        for name in ("new", "kept")
        for promise in _of(
            name,
            ("good/s", _good(72)),
            ("p99 of good", _good_within(0.3)),
            ("p99 of refusals", _refused_within(0.25)),
            ("all get 200 or 503", _all_answered),
            ("next request served", _recovery),
        )
    ),
    *_of("one core", ("good/s", _good(60)), ("p99 of refusals", _refused_within(0.5))),
    *_of("20x", ("good/s", _good(64)), ("next request served", _recovery)),
    *(
        promise
        for name in ("many", "many kept")
        for promise in (
            (f"{name}: share of what 10 clients get", _share_of(0.9), ("few", name)),
            *_of(name, ("p99 of good", _good_within(1.5))),
        )
    ),
    ("some: as many as the peer", _share_of(1.0), ("peer", "some")),
    *_of(
        "gthread",
        ("good/s", _good(76)),
        ("p99 of good", _good_within(0.4)),
        ("next request served", _recovery),
    ),
    *(
        promise
        for server in ("", "gthread ")
        for name in ("patient", "patient by header")
        for promise in _of(
            f"{server}{name}",
            ("share served", _served(0.97)),
            ("p99 of good", _good_within(0.35)),
        )
    ),
    *_of("priority", ("share served", _served(0.99))),
    *_of("burst", ("none refused", _none_refused)),
    *_of("gthread burst", ("none refused", _none_refused)),
)
