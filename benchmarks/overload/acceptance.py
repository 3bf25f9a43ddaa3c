"""What the overload promises come down to, checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.contenders import ServerName
from benchmarks.overload.cases import (
    CALM,
    CLOSED_POOL_SIZE,
    FEW_CLIENTS,
    MANY_CLIENTS,
    QUERY_SECONDS,
    Case,
)
from benchmarks.overload.measurement import Measurement
from benchmarks.overload.tables import Measurements
from pooled_db.conf import PoolSettings

OVERLOAD = 10.0
SECONDS = 20.0
BURST_TIMES, BURST_SECONDS = 2.0, 0.5

LEAST_SHARE = 0.9
QUEUE_TARGET = PoolSettings().queue_target
MARGIN_SECONDS = 0.1
LEAST_SAVING = 5
MOST_THREADS_BESIDE = 5
GTHREAD_P99_SECONDS = 1.0
RECOVERY_SECONDS = 1.0


def _open(server: ServerName, contender: str, times: float, seconds: float) -> Case:
    return Case(server=server, contender_name=contender, seconds=seconds, times=times)


def _closed(contender: str, clients: int, seconds: float) -> Case:
    return Case(
        server="uvicorn", contender_name=contender, seconds=seconds, clients=clients
    )


def acceptance_cases(seconds: float) -> dict[str, Case]:
    """By the names that the checks have for them, in the order of measuring."""
    return {
        "door, calm": _open("uvicorn", "door", CALM, seconds),
        "door, 10x": _open("uvicorn", "door", OVERLOAD, seconds),
        "middleware, calm": _open("uvicorn", "middleware", CALM, seconds),
        "middleware, 10x": _open("uvicorn", "middleware", OVERLOAD, seconds),
        "door, few": _closed("door", FEW_CLIENTS, seconds),
        "door, many": _closed("door", MANY_CLIENTS, seconds),
        "dj-pool, many": _closed("dj-pool", MANY_CLIENTS, seconds),
        "door, burst": _open("uvicorn", "door", BURST_TIMES, BURST_SECONDS),
        "gthread middleware, 10x": _open("gunicorn", "middleware", OVERLOAD, seconds),
        "gthread door, 10x": _open("gunicorn", "door", OVERLOAD, seconds),
        "gthread door, burst": _open("gunicorn", "door", BURST_TIMES, BURST_SECONDS),
    }


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


def _queued(latency: float | None, beside: float) -> Verdict:
    if QUEUE_TARGET is None:
        found = "there were none" if latency is None else f"{latency:.3f} s"
        return f"{found} (queue_target is off by default: no bound)", False
    return _at_most(latency, beside + 2 * QUEUE_TARGET + MARGIN_SECONDS)


def _goodput(one: Measurement) -> Verdict:
    least = LEAST_SHARE * one.case.capacity
    good = one.whole.good_per_second
    return f"{good:.1f}/s (at least {least:g}/s)", good >= least


def _good_come_soon(one: Measurement) -> Verdict:
    return _queued(one.settled.p99_good, beside=QUERY_SECONDS)


def _refusals_come_soon(one: Measurement) -> Verdict:
    return _queued(one.settled.p99_refused, beside=0.0)


def _all_answered(one: Measurement) -> Verdict:
    counts = one.whole.counts
    others = sum(counts.values()) - counts.get(200, 0) - counts.get(503, 0)
    return f"{others} of {sum(counts.values()):,} got neither", others == 0


def _share_of_few(few: Measurement, many: Measurement) -> Verdict:
    alone, good = few.whole.good_per_second, many.whole.good_per_second
    least = LEAST_SHARE * alone
    return f"{good:.1f}/s (at least {least:.1f}/s of {alone:.1f}/s)", good >= least


def _third_of_the_peers(ours: Measurement, theirs: Measurement) -> Verdict:
    here, there = ours.whole.p99_good, theirs.whole.p99_good
    if here is None or there is None:
        return f"{here} s against {there} s", False
    return f"{here:.3f} s (below a third of {there:.3f} s)", here < there / 3


def _saving(
    door: Measurement,
    door_calm: Measurement,
    middleware: Measurement,
    middleware_calm: Measurement,
) -> Verdict:
    at_door = door.cpu_per_refusal(door_calm)
    inside = middleware.cpu_per_refusal(middleware_calm)
    if at_door is None or inside is None:
        return "not every answer was good at half the load, or none refused", False
    figure = f"{at_door * 1e6:.0f} us against {inside * 1e6:.0f} us"
    return figure, at_door * LEAST_SAVING <= inside


def _few_threads(few: Measurement, many: Measurement) -> Verdict:
    waiting, alone = many.most_threads, few.most_threads
    most = CLOSED_POOL_SIZE + MOST_THREADS_BESIDE
    return f"{waiting} (at most {most}); {alone} with nobody waiting", waiting <= most


def _gthread_is_quick(one: Measurement) -> Verdict:
    return _at_most(one.whole.p99_good, GTHREAD_P99_SECONDS)


def _none_refused(one: Measurement) -> Verdict:
    counts = one.whole.counts
    return f"{counts}", set(counts) == {200}


def _recovery(one: Measurement) -> Verdict:
    return _at_most(one.next_served, RECOVERY_SECONDS)


#: What is promised, who judges it, and the cases that it is judged by.
PROMISES: tuple[tuple[str, Judge, tuple[str, ...]], ...] = (
    ("uvicorn, door, 10x: good/s", _goodput, ("door, 10x",)),
    ("uvicorn, door, 10x, after 2 s: p99 good", _good_come_soon, ("door, 10x",)),
    ("uvicorn, door, 10x, after 2 s: p99 refused", _refusals_come_soon, ("door, 10x",)),
    ("uvicorn, door, 10x: all get 200 or 503", _all_answered, ("door, 10x",)),
    (
        "uvicorn, door: good/s of 1,000 retrying clients against 10",
        _share_of_few,
        ("door, few", "door, many"),
    ),
    (
        "uvicorn, 1,000 retrying clients: p99 good against the peer's",
        _third_of_the_peers,
        ("door, many", "dj-pool, many"),
    ),
    ("gthread, middleware, 10x: good/s", _goodput, ("gthread middleware, 10x",)),
    (
        f"uvicorn, 10x: CPU per refusal, door against middleware (1/{LEAST_SAVING})",
        _saving,
        ("door, 10x", "door, calm", "middleware, 10x", "middleware, calm"),
    ),
    (
        "uvicorn, door: threads with 1,000 clients on 10 connections",
        _few_threads,
        ("door, few", "door, many"),
    ),
    ("gthread, door, 10x: p99 good", _gthread_is_quick, ("gthread door, 10x",)),
    ("uvicorn, door, half a second at 2x: all good", _none_refused, ("door, burst",)),
    (
        "gthread, door, half a second at 2x: all good",
        _none_refused,
        ("gthread door, burst",),
    ),
    ("uvicorn, door, after 10x: next request served", _recovery, ("door, 10x",)),
    (
        "gthread, door, after 10x: next request served",
        _recovery,
        ("gthread door, 10x",),
    ),
)
