"""The numbers that the documents state are those of the code."""

from __future__ import annotations

import re

import pytest

from pooled_db.backends.mysql import opening
from pooled_db.checks import MANY_THREADS
from pooled_db.dashboard.access import VALID
from pooled_db.driver import addresses
from pooled_db.driver.packets import SMALLEST_LIMIT
from pooled_db.pool import (
    lane,
    limit,
    nodes,
    on_call,
    outage,
    queue,
    share,
    siblings,
    stall,
    surplus,
    turnover,
)
from pooled_db.pool.connector import LONGEST_PING
from pooled_db.pool.entrance import CLOCKS_DIFFER
from pooled_db.pool.shedding import RELAPSE
from pooled_db.request import pace, patience, responses, traffic
from pooled_db.request.age import OLDEST
from tests.documentation import DOCS

ARCHITECTURE, CLUSTERS = "architecture.md", "how-to/clusters.md"
SETTINGS = "reference/settings.md"
TIMES = {1: "once", 2: "twice", 3: "three times"}
PER_SECOND = {1.0: "Once", 2.0: "Twice"}
COUNTED = {2.0: "two", 3.0: "three", 4.0: "four"}
ONE_IN = {2: "one in two", 3: "one in three", 4: "one in four", 5: "one in five"}


#: Pauses are longer at random.
LONGEST_PAUSE_BEFORE_A_TRY = outage.LONGEST_PAUSE * (1 + outage.JITTER)
LONGEST_AT_FIRST = outage.LONGEST_PAUSE_AT_FIRST * (1 + outage.JITTER)


def g(number: float) -> str:
    return f"{number:,g}"


#: Where a number stands, and how, if it is the code's.
STATED = [
    # What is called back.
    (ARCHITECTURE, f"called back: after {g(on_call.MOMENT * 1000)} ms,"),
    (SETTINGS, f"has rested for {g(on_call.MOMENT * 1000)} ms is called back"),
    (ARCHITECTURE, f"or after {g(on_call.MOMENT_UNUSED)} s if its"),
    # Who waits in vain.
    (ARCHITECTURE, f"it has made no statement for {g(stall.STANDSTILL)} s"),
    # Many processes, one server.
    (ARCHITECTURE, f"after {g(outage.PAUSE_FOR_EACH)} s for each that it has"),
    (ARCHITECTURE, f"none every {g(outage.LONGEST_PAUSE_FOR_ROOM)} s"),
    (ARCHITECTURE, f"refused within the last {g(limit.CONTENDED)} s"),
    (ARCHITECTURE, f"connections back once in {g(share.TURN)} s on average"),
    (ARCHITECTURE, f"others once in {g(share.BLIND_TURN)} s"),
    (ARCHITECTURE, f"has refused it one within {g(siblings.RECENT)} s"),
    (ARCHITECTURE, f"{PER_SECOND[1 / share.LOOK_EVERY]} a second, whoever has more"),
    (ARCHITECTURE, f"its requests wait for room, for {g(outage.PATIENCE)} s"),
    (ARCHITECTURE, f"room: for that requests wait, for {g(outage.PATIENCE)} s"),
    # Overload.
    (ARCHITECTURE, f"returns within {g(RELAPSE)} intervals"),
    (ARCHITECTURE, f"empty goes first, but for {ONE_IN[lane.NEW_IN_A_ROW + 1]}"),
    (ARCHITECTURE, f"go first, but for {ONE_IN[queue.PRIOR_IN_A_ROW + 1]}"),
    (SETTINGS, f"gets {ONE_IN[queue.PRIOR_IN_A_ROW + 1]}"),
    (ARCHITECTURE, f"longer than a burst ({g(queue.CROWDED)} intervals)"),
    (ARCHITECTURE, f"comes within {g(queue.WAVES)} intervals of an overload"),
    (SETTINGS, f"beyond {g(CLOCKS_DIFFER)} s as waiting"),
    (SETTINGS, f"more than {g(OLDEST / 60)} minutes ago is ignored"),
    # The 503.
    (
        "how-to/your-503.md",
        f"most {PER_SECOND[1 / responses.PAGE_SECONDS].lower()} a second for each",
    ),
    # The pace of refusals.
    (ARCHITECTURE, f"the turn took longer than {g(pace.TURN * 1000)} ms"),
    (ARCHITECTURE, f"no refusal leaves for {g(patience.PAUSE)} s"),
    (ARCHITECTURE, f"lasts for up to {g(patience.LONGEST_PAUSE)} s"),
    (ARCHITECTURE, f"for {g(patience.LESS_PAUSE)} of that after each without effect"),
    (ARCHITECTURE, f"after {g(patience.RETRY)}, {g(patience.RETRY * 2)}, "),
    (ARCHITECTURE, f", ... {g(patience.LONGEST_RETRY)} s. If it has"),
    (ARCHITECTURE, f"tried anew every {g(patience.CHECK)} s"),
    (ARCHITECTURE, f"if less than {g(patience.LEFT)} of the requests are left"),
    (ARCHITECTURE, f"more than {COUNTED[patience.TOO_MANY]} are refused for each"),
    (ARCHITECTURE, f"every {g(traffic.BEAT)} s while it is empty"),
    (ARCHITECTURE, f"after `timeout` or {g(pace.LONGEST)} s at the latest"),
    (ARCHITECTURE, f"there are {g(pace.MOST_HELD)} of them at most"),
    # Whether a server is there.
    (SETTINGS, f"does not answer within {'a' if LONGEST_PING == 1 else '?'} second"),
    (
        ARCHITECTURE,
        f"of {g(outage.FIRST_PAUSE)} to {g(LONGEST_PAUSE_BEFORE_A_TRY)} s",
    ),
    (
        ARCHITECTURE,
        f"at most {g(LONGEST_AT_FIRST)} s for the first {g(outage.AT_FIRST)} s",
    ),
    (SETTINGS, f"is held off for {g(nodes.HELD_OFF)} s"),
    (SETTINGS, f"another connection is tried, {TIMES[nodes.MOST_TRIES - 1]}"),
    (CLUSTERS, f"tried last for {g(addresses.FIRST_PAUSE)} s, at most "),
    (CLUSTERS, f", at most {g(addresses.LONGEST_PAUSE)} s if it fails again"),
    ("reference/503.md", f"of {g(SMALLEST_LIMIT / 2**20)} MiB or more"),
    # For how long connections live.
    (SETTINGS, f"{g(100 * (1 - turnover.JITTER))} to 100 % of it at random"),
    (CLUSTERS, f"end one by one within {g(turnover.SPREAD_OVER)} s"),
    (CLUSTERS, f"at least {g(turnover.SHORTEST)} s: a node"),
    # What people are told.
    ("reference/checks.md", f"more than {g(MANY_THREADS)} threads share"),
    ("how-to/dashboard.md", f"good for {'an' if VALID == 3600 else '?'} hour"),
]


@pytest.mark.parametrize(("page", "stated"), STATED)
def test_a_number_is_the_one_that_is_stated(page: str, stated: str) -> None:
    text = re.sub(r"\s+", " ", (DOCS / page).read_text("utf-8"))
    assert stated in text


def test_room_is_found_within_the_time_that_is_stated() -> None:
    """Whoever has connections tries one more after a pause of 2 s at most."""
    assert outage.LONGEST_PAUSE_OF_MORE * (1 + outage.JITTER) <= 2.0


def test_upkeep_looks_up_to_half_a_second_late() -> None:
    assert surplus.LATE / 2 <= 0.5


def test_a_quarter_of_the_time_since_a_failure_is_the_life_that_is_left() -> None:
    assert turnover.OF_THE_TIME_SINCE == 0.25


def test_opening_a_connection_takes_a_minute_at_most() -> None:
    assert opening.LONGEST_CONNECT == 60
