"""The log of refusals tells everything, and seldom."""

from __future__ import annotations

import itertools
import logging
import threading

import pytest

from pooled_db.request.refusals import RefusalLog, refusal_log
from tests.clock import Clock
from tests.forks import in_child

#: The documented one line a second.
INTERVAL = 1.0
INSTANT = INTERVAL / 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> RefusalLog:
    caplog.set_level(logging.WARNING, "pooled_db")
    return RefusalLog(clock)


def counts(caplog: pytest.LogCaptureFixture) -> list[int]:
    numbers = []
    for record in caplog.records:
        assert isinstance(record.args, tuple)
        assert isinstance(record.args[0], int)
        numbers.append(record.args[0])
    return numbers


def test_the_first_refusal_is_told_at_once(
    log: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", "the cause")

    assert caplog.record_tuples == [
        (
            "pooled_db",
            logging.WARNING,
            "503 for 1 request(s) since the last line. The latest: the cause",
        )
    ]


def test_within_a_second_nothing_more_is_told(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", "first")
    for _ in range(100):
        log.add("default", "again")
    clock.now += INTERVAL - INSTANT
    log.add("default", "again")

    assert counts(caplog) == [1]


def test_the_next_line_counts_what_was_not_told(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        log.add("default", f"cause {number}")
    clock.now += INTERVAL
    log.add("default", "the latest cause")

    assert counts(caplog) == [1, 5]
    assert caplog.messages[-1].endswith("The latest: the latest cause")


def test_the_count_starts_anew_after_each_line(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        log.add("default", "cause")
        log.add("default", "cause")
        clock.now += INTERVAL
    clock.now += 3600 * INTERVAL
    log.add("default", "cause")

    assert counts(caplog) == [1, 2, 2, 2]


def test_a_steady_stream_gives_one_line_a_second(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        log.add("default", "cause")
        clock.now += INTERVAL / 8

    assert counts(caplog) == [1, *[8] * 124]


def test_aliases_do_not_silence_each_other(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", "default 1")
    log.add("other", "other 1")
    log.add("default", "default 2")
    clock.now += INTERVAL
    log.add("other", "other 2")
    log.add("default", "default 3")

    lines = [message.partition(" The latest: ") for message in caplog.messages]
    assert [cause for _, _, cause in lines] == [
        "default 1",
        "other 1",
        "other 2",
        "default 3",
    ]
    assert counts(caplog) == [1, 1, 1, 2]


def test_a_clock_that_two_threads_read_out_of_order_tells_no_line_too_many(
    log: RefusalLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", "read last")
    clock.now -= INSTANT
    log.add("default", "read first, counted last")

    assert counts(caplog) == [1]


def test_a_percent_sign_in_a_cause_is_a_percent_sign(
    log: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", "100%s")

    assert caplog.messages[-1].endswith("The latest: 100%s")


def test_counts_of_many_threads_add_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "pooled_db")
    threads, refusals = 8, 500
    ticks = itertools.count()
    log = RefusalLog(lambda: next(ticks) * INTERVAL / 7)
    start = threading.Barrier(threads)

    def refuse() -> None:
        start.wait()
        for _ in range(refusals):
            log.add("default", "cause")

    workers = [threading.Thread(target=refuse) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for _ in range(7):
        next(ticks)
    log.add("default", "the last one")

    assert sum(counts(caplog)) == threads * refusals + 1
    assert len(caplog.records) <= threads * refusals / 7 + 2


def test_no_handler_gets_an_error_that_keeps_a_request_alive(
    log: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.add("default", ValueError("the cause"))

    (record,) = caplog.records
    assert record.args == (1, "the cause")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    """Which was logging when it forked, and does not exist in the child."""
    with refusal_log._lock:
        assert in_child(lambda: refusal_log._lock.acquire(blocking=False)) == 0
