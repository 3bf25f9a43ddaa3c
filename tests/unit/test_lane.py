"""Newcomers of several clients, in lines of their own."""

from __future__ import annotations

import weakref
from collections import Counter

import pytest

from pooled_db.exceptions import Reason
from pooled_db.pool.gate import Gate
from pooled_db.pool.lane import Lane
from pooled_db.pool.permit import ADMITTED, REFUSED, WAITING, Permit
from pooled_db.pool.shedding import Shedding
from tests.lines import Queue, clients


def test_lines_are_served_in_turn_and_each_in_order_of_arrival() -> None:
    queue = Queue()
    waiters = [queue.ask(client) for client in "aaaabbc"]

    served = [queue.serve(waiters) for _ in waiters]

    assert clients(served) == "abcabaa"
    assert [one for one in served if one.client == "a"] == waiters[:4]


def test_of_four_that_are_served_one_has_been_standing_there() -> None:
    queue = Queue()
    waiters = [queue.ask(client) for client in "aabcde"]
    assert clients([queue.serve(waiters) for _ in waiters]) == "abcade"


def test_all_who_wait_are_counted_whatever_they_wait_for() -> None:
    queue = Queue(max_waiting=4)
    begun = Permit()
    begun.begun = True
    queue.gate.enter(begun, 60.0, lambda: None)
    waiters = [queue.ask(None), queue.ask(None), queue.ask(None, priority=True)]

    assert queue.gate.waiting == 4
    assert {one.state for one in waiters} == {WAITING}
    assert queue.ask(None).reason is Reason.QUEUE_FULL


def test_without_clients_it_is_one_line() -> None:
    queue = Queue()
    waiters = [queue.ask(None) for _ in range(20)]

    assert [queue.serve(waiters) for _ in waiters] == waiters


def test_no_client_shares_the_line_of_another() -> None:
    queue = Queue()
    waiters = [queue.ask(0) for _ in range(10)]
    queue.serve(waiters)
    others = [1024 * number for number in range(1, 10)]  # with hashes much alike
    waiters += [queue.ask(other) for other in others]

    served = [queue.serve(waiters).client for _ in range(12)]
    assert [client for client in served if client != 0] == others


def test_nothing_is_kept_of_clients_that_have_gone() -> None:
    class Client:
        """One that can be told from all others."""

    queue = Queue(max_waiting=3)
    gone = []
    for _ in range(3):
        waiters = [queue.ask(Client()) for _ in range(3)]
        refused = queue.ask(client := Client())
        assert refused.reason is Reason.QUEUE_FULL
        gone += [weakref.ref(one.client) for one in (*waiters, refused)]
        queue.gate.release(waiters.pop())
        for _ in range(2):
            queue.serve(waiters)
        queue.serve([queue.ask(None)])
        del waiters, refused, client
    queue.held.clear()

    assert [client() for client in gone] == [None] * len(gone)


def test_who_asks_now_and_then_goes_before_who_asks_all_the_time() -> None:
    queue = Queue()
    waiters = [queue.ask("a") for _ in range(10)]
    queue.serve(waiters)
    waiters.append(queue.ask("b"))

    assert queue.serve(waiters).client == "b"


def test_a_client_that_comes_back_at_once_is_not_new_again() -> None:
    queue = Queue()
    waiters = [queue.ask("a") for _ in range(10)]
    served = []
    for _ in range(8):
        waiters.append(queue.ask("b"))
        served.append(queue.serve(waiters))

    assert Counter(clients(served)) == {"a": 4, "b": 4}


def test_a_client_that_waits_no_more_keeps_nobody_waiting() -> None:
    queue = Queue()
    gone = queue.ask("a")
    waiters = [queue.ask("b"), queue.ask("c")]
    queue.gate.release(gone)

    assert clients([queue.serve(waiters) for _ in waiters]) == "bc"


def test_of_ever_new_clients_each_is_served_in_order() -> None:
    """Where nobody is left of the older lines."""
    queue = Queue()
    waiters = [queue.ask(client) for client in range(8)]

    assert [queue.serve(waiters) for _ in waiters] == waiters


def test_ever_new_clients_leave_one_in_four_to_the_others() -> None:
    queue = Queue()
    old, *new = range(13)  # of which no two have the same line
    waiters = [queue.ask(old) for _ in range(10)]
    queue.serve(waiters)  # now it is an old line
    waiters += [queue.ask(client) for client in new]

    served = [queue.serve(waiters).client for _ in range(12)]

    assert served.count(old) == 3


def test_one_who_is_served_soon_hides_nobody_who_waits_for_long() -> None:
    shedding = Shedding(capacity=1, target=0.08, interval=1.0)
    lane = Lane(shedding)
    for client, arrived in (("hammers", 10.0), ("now and then", 10.5)):
        permit = Permit()
        permit.client, permit.arrived = client, arrived
        lane.add(permit)
    permit.waited = 0.05
    lane.served(permit, 10.55)
    assert shedding.slow_since == 10.55


@pytest.mark.parametrize(("after", "is_refused"), [(1.07, False), (1.09, True)])
def test_who_comes_while_nothing_comes_back_for_long_is_refused(
    after: float, is_refused: bool
) -> None:
    """An interval after the oldest should have been served."""
    lane = Lane(Shedding(capacity=1, target=0.08, interval=1.0))

    def come(now: float) -> bool:
        permit = Permit()
        permit.arrived = now
        if lane.turns_away(permit, now):
            return False
        lane.add(permit)
        return True

    for step in range(60):
        assert come(step * 0.05)
        if step:
            first = lane.first()
            assert first is not None
            lane.served(first, step * 0.05)
    now = 59 * 0.05
    assert all(come(now) for _ in range(4))

    assert come(now + after) is not is_refused


@pytest.mark.parametrize(("client", "ahead"), [("a", 11), ("b", 4), ("c", 2)])
def test_no_more_are_served_before_a_newcomer_than_its_turn_takes(
    client: str, ahead: int
) -> None:
    """Of each line as many as of its own, and of a new client one of each."""
    lane = Lane(None)
    for other in "a" * 10 + "b":
        permit = Permit()
        permit.client = other
        lane.add(permit)
    newcomer = Permit()
    newcomer.client = client
    assert lane._ahead_in(lane._line_of(newcomer)) == ahead


def test_before_a_client_that_is_new_nobody_is_served_who_has_been() -> None:
    lane = Lane(None)
    for other in "aaab":
        permit = Permit()
        permit.client = other
        lane.add(permit)
        if not lane._old:
            lane.served(permit, 0.0)
    newcomer = Permit()
    newcomer.client = "c"
    ahead = len(lane._new)
    assert len(lane._old) == 1
    assert lane._ahead_in(lane._line_of(newcomer)) == ahead


def test_a_client_that_has_just_been_served_comes_after_all_the_others() -> None:
    """However short its line is."""
    lane = Lane(None)
    for other in "addb":
        permit = Permit()
        permit.client = other
        lane.add(permit)
        if other != "b" and len(lane._old) < 2:
            lane.served(permit, 0.0)
    assert clients(list(lane.order)) == "db"
    newcomer = Permit()
    newcomer.client = "a"
    assert lane._ahead_in(lane._line_of(newcomer)) == 2


def test_the_line_of_who_hammers_is_shed_and_no_other() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0)
    waiters: list[Permit] = []
    patient: list[Permit] = []
    for step in range(400):  # 25 ms each: 40 are served in a second
        queue.clock.now = step * 0.025
        # No two of the numbers have the same line.
        waiters += [queue.ask(1000) for _ in range(5)]
        if step % 4 == 0:
            patient.append(queue.ask(step % 160))
            waiters.append(patient[-1])
        for permit in waiters:
            if permit.state is WAITING:
                queue.gate.review(permit)
        waiters = [one for one in waiters if one.state is WAITING]
        queue.serve(waiters)

    assert not any(one.reason for one in patient)
    assert max(one.waited for one in patient) < 0.1
    # Its line gets no longer than it bears before that is noticed again.
    assert len(waiters) < 60


def test_a_crowd_of_different_clients_is_shed_as_one_queue() -> None:
    queue = Queue(queue_target=0.08, queue_interval=1.0)
    waiters: list[Permit] = []
    everybody: list[Permit] = []
    for step in range(200):
        queue.clock.now = step * 0.025
        asking = [queue.ask(f"{step} {number}") for number in range(10)]
        everybody += asking
        for permit in waiters:
            if permit.state is WAITING:
                queue.gate.review(permit)
        waiters = [one for one in waiters + asking if one.state is WAITING]
        queue.serve(waiters)

    refused = [one for one in everybody if one.reason is Reason.OVERLOADED]
    assert len(refused) + 200 + len(waiters) >= len(everybody)
    assert max(one.waited for one in everybody[400:]) < 0.3


def test_a_full_queue_drops_the_last_of_the_longest_line() -> None:
    queue = Queue(max_waiting=4)
    hammering = [queue.ask("a") for _ in range(4)]

    patient = [queue.ask("b"), queue.ask("c")]

    assert [one.state for one in patient] == [WAITING] * 2
    assert [one.state for one in hammering] == [WAITING] * 2 + [REFUSED] * 2
    assert hammering[3].reason is Reason.QUEUE_FULL
    assert queue.ask("a").reason is Reason.QUEUE_FULL


def test_a_full_queue_drops_nobody_for_one_of_a_line_that_would_be_as_long() -> None:
    queue = Queue(max_waiting=3)
    there = [queue.ask(client) for client in "aab"]

    assert queue.ask("b").reason is Reason.QUEUE_FULL
    assert [one.state for one in there] == [WAITING] * 3


@pytest.mark.parametrize("stands_in", ["its line", "the order of all"])
def test_who_stands_in_one_of_the_two_alone_leaves_that(stands_in: str) -> None:
    """An interrupt has come in between."""
    lane, permits = Lane(None), [Permit(), Permit()]
    for permit in permits:
        lane.add(permit)
    interrupted, other = permits
    line = lane._lines[None].permits
    del (lane.order if stands_in == "its line" else line)[interrupted]
    lane.remove(interrupted)
    assert list(lane.order) == list(line) == [other]


def test_where_nobody_stands_nobody_is_next() -> None:
    assert Lane(None).first() is None


def test_who_does_not_stand_in_it_leaves_nothing_there() -> None:
    lane, there, stranger = Lane(None), Permit(), Permit()
    lane.add(there)
    stranger.client = "stranger"
    lane.remove(stranger)
    assert list(lane.order) == [there]


# Who it is, is asked of those alone who have to wait.


class Stranger(Permit):
    is_known = False
    asked = 0

    def introduce(self) -> None:
        self.asked += 1
        self.client = "stranger"
        self.is_known = True


def test_nobody_is_asked_who_need_not_wait() -> None:
    gate = Gate(1)
    first, second = Stranger(), Stranger()

    gate.enter(first, 60.0)
    assert (first.state, first.asked) == (ADMITTED, 0)
    gate.enter(second, 60.0)
    assert (second.state, second.asked) == (WAITING, 1)


def test_nobody_is_asked_twice() -> None:
    """Though it comes again, since one permit more may be held."""
    gate = Gate(3)
    gate.enter(Permit(), 60.0)
    gate.limit, gate.raise_at = 1, 0.0
    permit = Stranger()
    gate.enter(permit, 60.0)
    assert (permit.state, permit.asked) == (ADMITTED, 1)


def test_the_lock_is_not_held_while_somebody_is_asked() -> None:
    gate = Gate(1)

    class Asking(Stranger):
        def introduce(self) -> None:
            assert not gate.lock.locked()
            super().introduce()

    gate.enter(Asking(), 60.0)
    gate.enter(Asking(), 60.0)
    assert gate.waiting == 1
