"""Whose request code belongs to, before the middleware and within others."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext

from pooled_db import pools
from pooled_db.pool.loan import Loan
from pooled_db.request import current
from pooled_db.request.current import (
    begin_request,
    current_scope,
    is_of_current_request,
    open_scope,
    scope_of_asgi_request,
)
from pooled_db.request.scope import Scope


def of_loop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *scenario* with nothing that this thread has been before."""
    contextvars.Context().run(asyncio.run, scenario())


# A query of a receiver of request_started, under ASGI: Django marks the request.


async def ask() -> Scope | None:
    return scope_of_asgi_request()


def test_what_asks_before_the_middleware_is_of_the_request() -> None:
    async def see() -> Scope | None:
        return current_scope()

    async def scenario() -> None:
        async with ThreadSensitiveContext():
            # Each in a context of its own, as receivers and middleware are.
            scope = await asyncio.create_task(ask())
            assert scope is not None
            assert (scope.is_early, scope.at_door, scope.is_open) == (True,) * 3
            assert await asyncio.create_task(ask()) is scope
            assert await asyncio.create_task(see()) is scope

            assert begin_request() is scope
            assert not scope.at_door
            assert current_scope() is scope
            assert scope_of_asgi_request() is scope
            scope.close()
            assert scope_of_asgi_request() is None

    of_loop(scenario)


def test_what_goes_on_after_its_end_is_of_no_request() -> None:
    async def scenario() -> None:
        async with ThreadSensitiveContext():
            scope = begin_request()
            assert scope is not None
            scope.close()
            assert scope_of_asgi_request() is None

    of_loop(scenario)


def test_what_one_has_asked_early_is_nothing_to_another() -> None:
    def loan_of(scope: Scope) -> Loan:
        return Loan(pools.for_alias("default"), scope.ref)

    async def scenario() -> None:
        async with ThreadSensitiveContext():
            early = await asyncio.create_task(ask())
            assert early is not None

            def serve_another() -> None:
                scope = open_scope()
                assert current_scope() is scope
                assert is_of_current_request(loan_of(scope))
                assert not is_of_current_request(loan_of(early))
                scope.at_door, scope.entered = False, True
                assert begin_request() is None  # what its view asks of its own site
                assert current_scope() is scope
                scope.close()

            contextvars.Context().run(serve_another)
            assert is_of_current_request(loan_of(early))
            early.close()

    of_loop(scenario)


def test_it_stays_the_requests_whatever_a_middleware_above_asks_of_the_site() -> None:
    """Through a door, which leaves the scope of what it has let in behind."""

    async def scenario() -> None:
        async with ThreadSensitiveContext():
            early = await asyncio.create_task(ask())
            open_scope().close()
            assert begin_request() is early
            assert early is not None
            early.close()

    of_loop(scenario)


def test_it_is_of_no_other_request_and_of_none_where_there_is_none() -> None:
    async def scenario() -> None:
        begun, seen = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            async with ThreadSensitiveContext():
                scope = scope_of_asgi_request()
                assert scope is not None
                begun.set()
                await seen.wait()
                scope.close()
                assert current_scope() is None

        async def other() -> None:
            await begun.wait()
            assert scope_of_asgi_request() is None
            assert current_scope() is None
            async with ThreadSensitiveContext():
                assert current_scope() is None
            seen.set()

        await asyncio.gather(one(), other())

    of_loop(scenario)


def test_nothing_is_left_of_it_once_the_request_is_gone() -> None:
    async def scenario() -> None:
        async with ThreadSensitiveContext():
            scope = scope_of_asgi_request()
            assert scope is not None
            scope.close()

    of_loop(scenario)
    gc.collect()
    assert not current._early


# A request in a thread or task that has one already.


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("entered", [False, True])
def test_a_request_is_within_another_that_somebody_answers_for(
    entered: bool, streaming: bool
) -> None:
    """Not within one whose body was never closed, nor one that nobody has got."""
    outer = open_scope()
    outer.at_door = False
    outer.entered, outer.streaming = entered, streaming
    try:
        inner = begin_request()
        is_within = entered and not streaming
        assert (inner is None) is is_within
        assert outer.is_open is is_within
        if inner is not None:
            assert inner.is_open
            inner.close()
    finally:
        outer.close()


def test_of_two_at_the_door_none_is_within_the_other() -> None:
    """A middleware above asks its own site: the outer door answers for the outer."""

    def serve_two() -> None:
        outer = open_scope()
        inner = open_scope()
        assert inner is not outer
        inner.close()
        assert outer.is_open
        outer.close()

    contextvars.copy_context().run(serve_two)


def test_one_that_nobody_answers_for_ends_with_the_next_request() -> None:
    """An interrupt came before the middleware had it."""

    def serve_two() -> None:
        left = begin_request()
        following = begin_request()
        assert left is not None
        assert following is not None
        assert following is not left
        assert (left.is_open, following.is_open) == (False, True)
        following.close()

    contextvars.copy_context().run(serve_two)
