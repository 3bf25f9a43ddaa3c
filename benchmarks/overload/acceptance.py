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
    number: int
    promise: str
    figure: str
    holds: bool


class NotMeasured(Exception):
    """A check asks for a case that could not be served."""


class Named:
    """Measurements by the names of their cases."""

    def __init__(self, cases: Mapping[str, Case], measured: Measurements) -> None:
        self._cases = cases
        self._measured = measured

    def __call__(self, name: str) -> Measurement:
        try:
            return self._measured[self._cases[name]]
        except KeyError:
            raise NotMeasured(name) from None


def checks(cases: Mapping[str, Case], measured: Measurements) -> Iterator[Check]:
    named = Named(cases, measured)
    for number, promise, judge in JUDGES:
        try:
            figure, holds = judge(named)
        except NotMeasured as missing:
            figure, holds = f"not measured: {missing}", False
        yield Check(number, promise, figure, holds)


Verdict = tuple[str, bool]


def _at_most(value: float | None, most: float, unit: str = "s") -> Verdict:
    if value is None:
        return f"there were none (at most {most:g} {unit})", False
    return f"{value:.3f} {unit} (at most {most:g} {unit})", value <= most


def _goodput(one: Measurement) -> Verdict:
    least = LEAST_SHARE * one.case.capacity
    good = one.whole.good_per_second
    return f"{good:.1f}/s (at least {least:g}/s)", good >= least


def _queued(latency: float | None, beside: float) -> Verdict:
    if QUEUE_TARGET is None:
        found = "there were none" if latency is None else f"{latency:.3f} s"
        return f"{found} (queue_target is off by default: no bound)", False
    return _at_most(latency, beside + 2 * QUEUE_TARGET + MARGIN_SECONDS)


def _all_answered(one: Measurement) -> Verdict:
    counts = one.whole.counts
    others = sum(counts.values()) - counts.get(200, 0) - counts.get(503, 0)
    return f"{others} of {sum(counts.values()):,} got neither", others == 0


def _share_of_few(of: Named) -> Verdict:
    few, many = (of(name).whole.good_per_second for name in ("door, few", "door, many"))
    least = LEAST_SHARE * few
    return f"{many:.1f}/s (at least {least:.1f}/s of {few:.1f}/s)", many >= least


def _p99_against_dj_pool(of: Named) -> Verdict:
    ours = of("door, many").whole.p99_good
    theirs = of("dj-pool, many").whole.p99_good
    if ours is None or theirs is None:
        return f"{ours} s against {theirs} s", False
    return f"{ours:.3f} s (below a third of {theirs:.3f} s)", ours < theirs / 3


def _saving(of: Named) -> Verdict:
    door = of("door, 10x").cpu_per_refusal(of("door, calm"))
    middleware = of("middleware, 10x").cpu_per_refusal(of("middleware, calm"))
    if door is None or middleware is None:
        return "not every answer was good at half the load, or none refused", False
    figure = f"{door * 1e6:.0f} us against {middleware * 1e6:.0f} us"
    return figure, door * LEAST_SAVING <= middleware


def _threads(of: Named) -> Verdict:
    waiting, alone = of("door, many").most_threads, of("door, few").most_threads
    most = CLOSED_POOL_SIZE + MOST_THREADS_BESIDE
    return f"{waiting} (at most {most}); {alone} with nobody waiting", waiting <= most


def _none_refused(one: Measurement) -> Verdict:
    counts = one.whole.counts
    return f"{counts}", set(counts) == {200}


def _recovery(one: Measurement) -> Verdict:
    return _at_most(one.next_served, RECOVERY_SECONDS)


JUDGES: tuple[tuple[int, str, Callable[[Named], Verdict]], ...] = (
    (1, "uvicorn, door, 10x: good/s", lambda of: _goodput(of("door, 10x"))),
    (
        1,
        "uvicorn, door, 10x, after 2 s: p99 good",
        lambda of: _queued(of("door, 10x").settled.p99_good, QUERY_SECONDS),
    ),
    (
        1,
        "uvicorn, door, 10x, after 2 s: p99 of refusals",
        lambda of: _queued(of("door, 10x").settled.p99_refused, 0.0),
    ),
    (
        1,
        "uvicorn, door, 10x: every arrival gets 200 or 503",
        lambda of: _all_answered(of("door, 10x")),
    ),
    (2, "uvicorn, door, 1,000 retrying clients: good/s against 10", _share_of_few),
    (2, "uvicorn, 1,000 clients: p99 good against the peer's", _p99_against_dj_pool),
    (
        3,
        "gthread, middleware, 10x: good/s",
        lambda of: _goodput(of("gthread middleware, 10x")),
    ),
    (4, "uvicorn, 10x: CPU per refusal, door against middleware (1/5)", _saving),
    (
        4,
        "uvicorn, door, 1,000 clients on 10 connections: threads",
        _threads,
    ),
    (
        5,
        "gthread, door, 10x: p99 good",
        lambda of: _at_most(
            of("gthread door, 10x").whole.p99_good, GTHREAD_P99_SECONDS
        ),
    ),
    (
        6,
        "uvicorn, door, half a second at 2x: all good",
        lambda of: _none_refused(of("door, burst")),
    ),
    (
        6,
        "gthread, door, half a second at 2x: all good",
        lambda of: _none_refused(of("gthread door, burst")),
    ),
    (
        6,
        "uvicorn, door, after 10x: next request served",
        lambda of: _recovery(of("door, 10x")),
    ),
    (
        6,
        "gthread, door, after 10x: next request served",
        lambda of: _recovery(of("gthread door, 10x")),
    ),
)
