"""The network between site and server cuts, stops, delays and loses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.harness.processes import PATIENCE, poll
from tests.harness.sockets import CONNECTING, clients_of
from tests.server.faults.conftest import POOL_SIZE, Distant
from tests.server.faults.crowd import Crowd, Told, ask, ask_together, assert_own_answers
from tests.sites import Site

Serve = Callable[..., Distant]

both = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])

#: Seconds that an answer may come later than it must, on a busy machine.
GRACE = 1.0

#: A busy machine makes queues too, and what those shed is not the network's doing.
NO_SHEDDING = {"queue_target": None}


def statuses(told: list[Told]) -> set[int]:
    return {one.answer.status for one in told}


@both
def test_cuts_under_load_are_answered_with_200_and_503(
    distant: Serve, kind: str
) -> None:
    here = distant(kind, pool={**NO_SHEDDING, "timeout": PATIENCE})
    with Crowd(here.site, "/token", clients=12) as crowd:
        for _ in range(8):
            crowd.wait_for(20)
            here.proxy.cut()
        crowd.wait_for(20)

    assert statuses(crowd.told) == {200, 503}
    assert_own_answers(crowd.told)
    lost = [one for one in crowd.told if not one.is_good]
    assert {one.reason for one in lost} <= {"connection_lost", "unavailable"}
    # All of these are GET, which may be repeated.
    assert all(one.may_be_tried_again for one in lost)


@both
def test_a_connection_that_ends_within_an_answer_is_never_read_on(
    distant: Serve, kind: str
) -> None:
    here = distant(kind)
    for sent in (0, 1, 60, 300):
        assert poll(lambda: ask(here.site, "/token", "before").is_good)
        here.proxy.cut_after(sent)
        cut = ask_together(here.site, "/token?n=20", 2 * POOL_SIZE)
        here.proxy.forward()
        assert statuses(cut) == {503}

        assert poll(lambda: ask(here.site, "/token", "after").is_good)
        whole = ask_together(here.site, "/token", 2 * POOL_SIZE)
        assert statuses(whole) == {200}
        assert_own_answers(whole)


@both
def test_a_black_hole_is_bounded_by_the_time_outs_and_over_when_it_is_over(
    distant: Serve, kind: str
) -> None:
    here = distant(kind, connect_timeout=1, read_timeout=2)
    assert statuses(ask_together(here.site, "/token", POOL_SIZE)) == {200}
    here.proxy.stop()

    told = ask_together(here.site, "/token", 20)

    assert statuses(told) == {503}
    waited = sorted(one.took for one in told)
    # As many as there are connections are in a statement, or connecting. The others
    # wait for them in line.
    assert waited[-1 - POOL_SIZE] <= 1.0 + GRACE
    assert waited[-1] <= 1.0 + 2.0 + GRACE
    assert poll(here.site.at_rest), here.site.state()
    here.proxy.forward()
    assert poll(lambda: ask(here.site, "/token", "again").is_good, 1.0 + GRACE)
    after = ask_together(here.site, "/token", POOL_SIZE)
    assert statuses(after) == {200}
    assert_own_answers(after)


@both
def test_answers_that_come_too_late_are_nobodys(distant: Serve, kind: str) -> None:
    here = distant(kind, connect_timeout=2, read_timeout=1)
    with Crowd(here.site, "/token", clients=8, delay=0.05) as crowd:
        for _ in range(2):
            crowd.wait_for(10)
            here.proxy.delay(to_client=1.5)
            crowd.wait_for(2, lambda told: not told.is_good)
            here.proxy.forward()
        crowd.wait_for(10)

    assert statuses(crowd.told) == {200, 503}
    assert_own_answers(crowd.told)


@both
def test_when_connects_hang_one_tries_and_the_others_are_told_at_once(
    distant: Serve, kind: str
) -> None:
    here = distant(kind, pool=NO_SHEDDING, connect_timeout=1)
    assert ask(here.site, "/token", "before").is_good
    here.proxy.drop_connects()
    here.proxy.cut()

    first = ask_together(here.site, "/token", 12)
    assert statuses(first) == {503}
    assert max(one.took for one in first) <= 1.0 + 1.0 + GRACE
    trying = 0
    with Crowd(here.site, "/token", clients=8, delay=0.05) as crowd:
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            trying = max(trying, clients_of(here.proxy.port)[CONNECTING])
            time.sleep(0.01)
        here.proxy.forward()
        crowd.wait_for(10)

    assert trying == 1
    refused = [one for one in crowd.told if not one.is_good]
    assert {one.reason for one in refused} == {"unavailable"}
    assert max(one.took for one in refused) <= 1.0 + GRACE
    slow = [one for one in refused if one.took >= 0.7]
    # Four seconds hold four attempts of a second; one more is under way at the end.
    assert len(slow) <= 5
    assert len(refused) > 20 * len(slow)


@both
def test_a_server_that_accepts_and_never_greets_is_bounded_by_connect_timeout(
    distant: Serve, kind: str
) -> None:
    here = distant(kind, connect_timeout=1)
    here.proxy.swallow()

    told = ask_together(here.site, "/token", 12)

    assert statuses(told) == {503}
    assert max(one.took for one in told) <= 1.0 + 1.0 + GRACE
    here.proxy.forward()
    assert poll(lambda: ask(here.site, "/token", "again").is_good, 1.0 + GRACE)


@both
def test_a_distant_server_serves_all_in_their_order(distant: Serve, kind: str) -> None:
    one_by_one = {"pool_size": 1, "timeout": 20, **NO_SHEDDING}
    here = distant(kind, pool=one_by_one)
    assert ask(here.site, "/token", "before").is_good
    here.proxy.delay(to_server=0.03, to_client=0.03)

    told = ask_in_turn(here.site, [f"t{number}" for number in range(16)])

    assert statuses(told) == {200}
    assert_own_answers(told)
    in_order = [f"t{number}" for number in range(16)]
    assert [one.token for one in sorted(told, key=lambda one: one.ended)] == in_order


def ask_in_turn(site: Site, tokens: list[str]) -> list[Told]:
    """Send each request once the one before it stands in line."""
    told: list[Told] = []
    threads = []

    def arrived() -> int:
        state = site.state()
        return state["checkouts"] + state["waiting"]

    def have_arrived(least: int) -> bool:
        return arrived() >= least

    before = arrived()
    for number, token in enumerate(tokens, start=1):
        thread = threading.Thread(
            target=lambda token=token: told.append(ask(site, "/token", token))
        )
        thread.start()
        threads.append(thread)
        assert poll(partial(have_arrived, before + number))
    for thread in threads:
        thread.join()
    return told
