"""What a request holds: none of it is lost, whatever comes in between."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest
from django.test import RequestFactory

from pooled_db.driver.connection import Connection
from pooled_db.driver.use import ANY_THREAD
from pooled_db.pool.loan import Loan
from pooled_db.pool.permit import ADMITTED, LENT
from pooled_db.pool.pool import Pool
from pooled_db.request import adoption
from pooled_db.request.scope import Scope
from pooled_db.wsgi import FromWSGI
from tests.destinations import HERE, SETTINGS


class Borrower:
    has_atomic_block = False

    def detach(self) -> None: ...


def refuse() -> Connection:
    raise MySQLdb.OperationalError(1045, "Access denied")


def make_pool() -> Pool:
    return Pool("default", refuse, pool_size=2, home=HERE)


@pytest.fixture
def pool() -> Pool:
    return make_pool()


@pytest.fixture
def scope() -> Scope:
    return Scope()


# How a request is known.


def test_its_label_names_the_route_without_what_stands_in_the_path(
    scope: Scope, rf: RequestFactory
) -> None:
    scope.request = request = rf.get("/items/5?secret=1")
    assert scope.label() == "GET /items/5"  # until Django has found its view
    match: Any = SimpleNamespace(_func_path="shop.item", route="items/<int:pk>")
    request.resolver_match = match
    assert scope.label() == "GET /items/<int:pk> (shop.item)"
    assert scope.describe() == "GET /items/5 (shop.item)"


def test_nothing_refers_to_its_request_once_it_is_over(scope: Scope) -> None:
    scope.request = RequestFactory().get("/page")
    scope.close()
    assert scope.request is None


def test_at_a_door_it_is_known_by_what_the_server_says(scope: Scope) -> None:
    assert scope.describe() == scope.label() == "a request"
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/pay"}
    scope.incoming = FromWSGI(environ)
    assert scope.describe() == scope.label() == "POST /pay"


@pytest.mark.parametrize("is_at_door", [True, False])
@pytest.mark.parametrize(("path", "goes_first"), [("/pay/5", True), ("/page", False)])
def test_it_has_priority_by_its_path(
    scope: Scope,
    pool: Pool,
    settings: Any,
    rf: RequestFactory,
    path: str,
    goes_first: bool,
    is_at_door: bool,
) -> None:
    settings.POOLED_DB = {"PRIORITY": ["^pay/"]}
    if is_at_door:
        scope.incoming = FromWSGI({"REQUEST_METHOD": "GET", "PATH_INFO": path})
    else:
        scope.request = rf.get(path)
    loan = Loan(pool, scope.ref)
    loan.introduce()
    assert loan.priority is goes_first


# What it holds.


def test_what_is_not_idle_is_not_taken_where_the_server_must_not_be_waited_for(
    scope: Scope, pool: Pool
) -> None:
    scope.admit(pool)
    assert not scope.check_out_idle(pool)
    (loan,) = scope.loans
    assert (loan.state, pool.gate.free) == (ADMITTED, 1)
    scope.close()
    assert pool.gate.free == 2


def test_a_request_that_is_let_in_is_so_once(scope: Scope, pool: Pool) -> None:
    for _ in range(2):
        scope.admit(pool)
    assert pool.gate.free == 1
    scope.close()


@pytest.mark.parametrize("is_admitted", [True, False])
@pytest.mark.parametrize(
    "error", [MySQLdb.OperationalError(1045, "Access denied"), KeyboardInterrupt()]
)
def test_a_query_that_cannot_connect_gives_its_permit_back(
    scope: Scope, pool: Pool, is_admitted: bool, error: BaseException
) -> None:
    """Its view may go on for long without."""
    attempts: list[None] = []

    def connect() -> Connection:
        attempts.append(None)
        raise error

    pool.connect = connect
    if is_admitted:
        scope.admit(pool)
    borrower = Borrower()
    with pytest.raises(type(error)):
        scope.lend(pool, weakref.ref(borrower), (HERE, connect))
    assert (len(attempts), pool.gate.free) == (1, 2)
    scope.close()


def test_a_request_that_cannot_connect_has_no_permit_in_its_view(
    scope: Scope, pool: Pool
) -> None:
    """The error is for its first query, if it makes one."""
    scope.admit(pool)
    scope.check_out_admitted(pool)
    assert pool.gate.free == 2
    scope.close()


def test_what_was_not_used_goes_back_before_the_end(scope: Scope, pool: Pool) -> None:
    scope.admit(pool)
    scope.return_unused()
    assert (pool.gate.free, scope.is_open) == (2, True)


def test_a_loan_of_a_pool_that_another_has_replaced_ends_with_the_request(
    scope: Scope, pool: Pool
) -> None:
    """Its alias was disposed of meanwhile."""
    scope.admit(pool)
    other = make_pool()
    scope.admit(other)
    assert (pool.gate.free, other.gate.free) == (1, 1)
    scope.close()
    assert (pool.gate.free, other.gate.free) == (2, 2)


@pytest.mark.parametrize("is_at_rest", [False, True])
def test_a_loan_that_leads_elsewhere_makes_way_if_nobody_works_with_it(
    scope: Scope, pool: Pool, is_at_rest: bool
) -> None:
    loan = Loan(pool, scope.ref)
    pool.admit(loan)
    connection: Any = SimpleNamespace(
        is_at_rest=is_at_rest, rested=0.0, uncommitted=False
    )
    connection.let_go = lambda: True
    loan.connection, loan.state = connection, LENT
    assert scope._make_way(loan) is is_at_rest
    assert loan.over is is_at_rest
    loan.checkin()
    assert pool.gate.free == 2


@pytest.mark.parametrize(
    "change", ["nothing", "it is over", "it leads elsewhere", "it leads nowhere"]
)
def test_what_is_ready_is_lent_if_it_leads_there(
    scope: Scope, pool: Pool, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked: list[int] = []
    scope.admit(pool)
    (loan,) = scope.loans

    def lend(self: Loan, borrower: object, thread: int) -> bool:
        asked.append(thread)
        return True

    monkeypatch.setattr(Loan, "lend", lend)
    borrower = weakref.ref(Borrower())
    wanted = SETTINGS
    if change == "it is over":
        loan.over = True
    elif change == "it leads elsewhere":
        wanted = {**SETTINGS, "NAME": "another"}
    elif change == "it leads nowhere":
        loan.destination = None
    lent = scope.lend_ready(wanted, "default", borrower)
    assert (lent is loan) is (change == "nothing")
    assert scope.begun is (change == "nothing")
    assert len(asked) == (change == "nothing")
    loan.over = False
    scope.close()


@pytest.mark.parametrize(
    ("of_request", "user", "in_atomic_block", "ends"),
    [
        (False, 7, False, True),
        (False, 7, True, False),
        (False, ANY_THREAD, False, False),
        (True, 7, False, None),
    ],
)
def test_what_its_thread_has_taken_before_is_adopted(
    scope: Scope,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    of_request: bool,
    user: int,
    in_atomic_block: bool,
    ends: bool | None,
) -> None:
    """But not what is another request's.

    A transaction stays whose it is, and so does what other threads may use.
    """
    loan = Loan(pool, Scope().ref if of_request else None)
    loan.borrower, loan.user = Borrower, user
    wrapper = SimpleNamespace(loan=loan, in_atomic_block=in_atomic_block)
    all_of_thread = SimpleNamespace(all=lambda initialized_only: [wrapper, object()])
    monkeypatch.setattr(adoption, "connections", all_of_thread)
    adoption.adopt(scope)
    assert (loan in scope.loans) is (ends is not None)
    assert scope.begun is (ends is not None)
    assert (loan.requester is scope.ref) is bool(ends)
