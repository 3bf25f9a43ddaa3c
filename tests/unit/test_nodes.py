"""What is asked of each node that a connection leads to, and what follows."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.errors import UnfitNode
from pooled_db.pool.nodes import WHO, Nodes
from tests.clock import Clock
from tests.harness.interrupts import Interrupted

CHECK = "SELECT @@wsrep_ready"
Rows = Any


class Node:
    """A connection to one, which answers what it is told to, or raises it."""

    node: object = None

    def __init__(self, who: Rows, check: Rows, address: str | None = None) -> None:
        self.answers = {WHO: who, CHECK: check}
        self.address = address
        self.is_dirty = False
        self.is_open = True
        self.asked: list[str] = []

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        cursor = SimpleNamespace(description=None, row=None)

        def execute(statement: str) -> None:
            self.asked.append(statement)
            self.is_dirty |= statement == CHECK
            answer = self.answers[statement]
            if isinstance(answer, BaseException):
                raise answer
            cursor.description = None if answer is None else ["..."]
            cursor.row = answer

        cursor.execute, cursor.fetchone = execute, lambda: cursor.row
        yield cursor

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of which addresses it was said that they fail."""
    addresses: list[str] = []
    recorder = SimpleNamespace(failed=addresses.append)
    monkeypatch.setattr("pooled_db.pool.nodes.addresses", recorder)
    return addresses


def a(number: int, check: Rows = ("ON",), address: str | None = None) -> Node:
    return Node((f"node{number}", 3306, number), check, address)


def opened(nodes: Nodes, *there: Node) -> Any:
    turn = iter(there)
    return nodes.open_fit(lambda: next(turn))  # type: ignore[arg-type, return-value]


def test_its_first_user_has_no_session_that_was_changed() -> None:
    node = opened(Nodes(CHECK, Clock()), a(1))
    assert (node.asked, node.is_dirty) == ([WHO, CHECK], False)
    assert node.node == ("node1", 3306, 1)


@pytest.mark.parametrize("address", [None, "10.0.0.1"])
def test_the_address_that_leads_to_an_unfit_node_has_failed(
    failed: list[str], address: str | None
) -> None:
    unfit, fit = a(1, ("OFF",), address), a(2, ("ON",), "10.0.0.2")
    assert opened(Nodes(CHECK, Clock()), unfit, fit) is fit
    assert not unfit.is_open
    assert failed == ([] if address is None else [address])


def test_who_is_interrupted_as_it_asks_leaves_no_connection_open() -> None:
    node = a(1, Interrupted())
    with pytest.raises(Interrupted):
        opened(Nodes(CHECK, Clock()), node)
    assert not node.is_open


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("OFF",), (0, "check_on_connect returned 'OFF'")),
        (("OFF", "ON"), (0, "check_on_connect returned 'OFF'")),
        # A table without a row.
        ((), (0, "check_on_connect returned None")),
        (MySQLdb.OperationalError(1047, "not prepared"), (1047, "not prepared")),
        (MySQLdb.ProgrammingError(1064, "a mistake"), (1064, "a mistake")),
    ],
)
def test_why_a_node_did_not_pass_is_said_and_it_is_held_off(
    answer: Rows, said: tuple[int, str]
) -> None:
    clock = Clock()
    nodes = Nodes(CHECK, clock)
    with pytest.raises(UnfitNode) as unfit:
        opened(nodes, *(a(number, answer) for number in (1, 2, 3)))
    assert unfit.value.args == said

    clock.now += 1.4
    again = [a(number) for number in (1, 2, 3)]
    with pytest.raises(UnfitNode) as held_off:
        opened(nodes, *again)
    assert held_off.value.args == (0, "held off")
    assert [node.asked for node in again] == [[WHO]] * 3

    clock.now += 1.2  # after 2.5 s at the latest
    back = a(1)
    assert opened(nodes, back) is back


@pytest.mark.parametrize(("lot", "seconds"), [(0.0, 1.5), (1.0, 2.5)])
def test_a_node_is_held_off_for_about_2_s(
    monkeypatch: pytest.MonkeyPatch, lot: float, seconds: float
) -> None:
    monkeypatch.setattr(
        random, "uniform", lambda least, most: least + lot * (most - least)
    )
    clock = Clock()
    nodes = Nodes(CHECK, clock)
    opened(nodes, a(1, ("OFF",)), a(2))
    clock.now += seconds - 0.1
    before, other, after = a(1), a(2), a(1)
    assert opened(nodes, before, other) is other
    clock.now += 0.1
    assert opened(nodes, after) is after


def test_one_that_does_not_say_who_it_is_holds_off_no_other() -> None:
    broken = Node(MySQLdb.OperationalError(1047, "not prepared"), ("ON",))
    nameless = Node(None, ("ON",))
    assert opened(Nodes(CHECK, Clock()), broken, nameless) is nameless


def test_what_says_no_row_has_passed() -> None:
    node = a(1, None)
    assert opened(Nodes(CHECK, Clock()), node) is node
