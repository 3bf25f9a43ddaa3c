"""A connection that a thread has of its own, once it works for a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import connections

from pooled_db.pool.loan import Loan
from pooled_db.pool.pool import Pool
from pooled_db.request.adoption import adopt, give_way
from pooled_db.request.scope import Scope


class Own:
    """A loan at rest, as far as it is asked."""

    def __init__(self, pool: Pool, **attributes: Any) -> None:
        self.pool = pool
        self.requester: Any = None
        self.over = self.has_ended = False
        self.pins: set[object] = set()
        self.may_be_missed = True
        self.rests: float | None = 5.0
        self.connection: Any = SimpleNamespace(has_open_cursor=lambda: False)
        vars(self).update(attributes)

    def resting_since(self) -> float | None:
        return self.rests

    def checkin(self) -> None:
        self.over = self.has_ended = True

    discard = checkin


def make_pool() -> Pool:
    return Pool("default", pytest.fail, pool_size=2)


@pytest.fixture
def pool() -> Pool:
    return make_pool()


@pytest.fixture
def scope() -> Scope:
    return Scope()


def make_way(own: Own, scope: Scope) -> None:
    give_way(cast("Loan", own), scope)


def loans_of(scope: Scope) -> list[object]:
    return [*scope.loans]


def put(own: Own, scope: Scope) -> None:
    scope.adopt(own.pool, cast("Loan", own), ends_with_it=True)


def test_the_request_adopts_it_if_it_has_none(pool: Pool, scope: Scope) -> None:
    own = Own(pool)
    make_way(own, scope)
    assert loans_of(scope) == [own]
    assert own.requester is scope.ref
    assert not own.over


def test_it_gives_way_to_that_of_the_request(pool: Pool, scope: Scope) -> None:
    own, its = Own(pool), Own(pool)
    put(its, scope)
    make_way(own, scope)
    assert (own.over, its.over) == (True, False)
    assert loans_of(scope) == [its]


@pytest.mark.parametrize("other", ["over", "of another pool"])
def test_it_does_not_for_one_that_is_over_or_of_another_pool(
    pool: Pool, scope: Scope, other: str
) -> None:
    put(Own(pool, over=True) if other == "over" else Own(make_pool()), scope)
    own = Own(pool)
    make_way(own, scope)
    assert own in loans_of(scope)
    assert not own.over


@pytest.mark.parametrize(
    "attributes",
    [
        {"pins": {"a statement's result"}},
        {"may_be_missed": False},
        {"rests": None},
        {"connection": None},
        {"connection": SimpleNamespace(has_open_cursor=lambda: True)},
    ],
    ids=["pinned", "missed", "at work", "without a connection", "with a cursor"],
)
def test_what_its_thread_works_with_stays_its_own(
    pool: Pool, scope: Scope, attributes: dict[str, Any]
) -> None:
    its, own = Own(pool), Own(pool, **attributes)
    put(its, scope)
    make_way(own, scope)
    assert loans_of(scope) == [its]
    assert not own.over


def test_what_a_test_has_stays_the_tests(pool: Pool, scope: Scope) -> None:
    scope.is_of_test_client = True
    own = Own(pool)
    make_way(own, scope)
    assert loans_of(scope) == []


def test_what_the_request_has_already_stays_its(pool: Pool, scope: Scope) -> None:
    """As one that a middleware above has left in a transaction."""
    own = Own(pool)
    scope.adopt(pool, cast("Loan", own), ends_with_it=False)
    make_way(own, scope)
    assert not own.over
    assert own.requester is None


def test_nobody_asks_for_a_driver_that_is_not_installed(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings, "old", {"ENGINE": "nowhere.backend"})
    adopt(scope)
    assert loans_of(scope) == []
