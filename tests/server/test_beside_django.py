"""The requests of a thread store what they would store with Django's own backend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.transaction import TransactionManagementError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pooled_db.request.current import open_scope
from tests.harness.server import Server
from tests.site.models import Item

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

#: The alias that has Django's own backend here.
BESIDE = "other"
ERRORS = (DatabaseError, InterfaceError, TransactionManagementError)

#: A name, or a block: what is done in it, and how it ends.
Step = Any


class Mistake(Exception):
    """The view's own."""


class Run:
    """What happens when the same steps are taken with *alias*."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.stored = 0
        self.seen: list[tuple[str, object]] = []

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            try:
                if isinstance(step, str):
                    getattr(self, step)()
                else:
                    self.block(*step)
            except ERRORS:
                self.seen.append(("error", str(step)))

    def block(self, steps: list[Step], end: str) -> None:
        with contextlib.suppress(Mistake), transaction.atomic(self.alias):
            self.take(steps)
            if end == "mistake":
                raise Mistake
            if end == "duplicate":
                self.duplicate()

    def insert(self) -> None:
        self.stored += 1
        Item.objects.using(self.alias).create(name=f"item {self.stored}")

    def duplicate(self) -> None:
        Item.objects.using(self.alias).create(name="taken")

    def close(self) -> None:
        connections[self.alias].close()

    def close_old(self) -> None:
        connections[self.alias].close_if_unusable_or_obsolete()

    def wants_rollback(self) -> None:
        transaction.set_rollback(True, using=self.alias)

    def undone(self) -> None:
        savepoint = transaction.savepoint(using=self.alias)
        self.insert()
        transaction.savepoint_rollback(savepoint, using=self.alias)

    def autocommit_off(self) -> None:
        transaction.set_autocommit(False, using=self.alias)

    def autocommit_on(self) -> None:
        transaction.set_autocommit(True, using=self.alias)

    def commit(self) -> None:
        transaction.commit(using=self.alias)

    def hook(self) -> None:
        number = self.stored
        transaction.on_commit(lambda: self.seen.append(("hook", number)), self.alias)


names = (
    *("insert", "insert", "insert", "duplicate", "close", "close_old", "hook"),
    *("wants_rollback", "undone", "autocommit_off", "autocommit_on", "commit"),
)
steps: st.SearchStrategy[Step] = st.recursive(
    st.sampled_from(names),
    lambda inner: st.tuples(
        st.lists(inner, max_size=4), st.sampled_from(["ok", "mistake", "duplicate"])
    ),
    max_leaves=8,
)
requests = st.lists(st.lists(steps, max_size=4), min_size=2, max_size=3)


def serve(run: Run, request: list[Step]) -> None:
    with contextlib.closing(open_scope()):
        run.take(request)
        if run.alias == BESIDE:  # as receivers of request_finished do
            run.close_old()


@pytest.fixture
def _beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pooled = connections.settings[BESIDE]
    options = {
        name: pooled["OPTIONS"][name] for name in set(pooled["OPTIONS"]) - {"pool"}
    }
    plain = {**pooled, "ENGINE": "django.db.backends.mysql", "OPTIONS": options}
    connections[BESIDE].close()
    monkeypatch.setitem(connections.settings, BESIDE, plain)
    del connections[BESIDE]
    yield
    connections[BESIDE].close()
    del connections[BESIDE]


def outcome(alias: str, requests: list[list[Step]], server: Server) -> object:
    table = f"`{connections.settings[alias]['NAME']}`.`{Item._meta.db_table}`"
    server.ask(f"DELETE FROM {table}")
    server.ask(f"INSERT INTO {table} (name, amount) VALUES ('taken', 0)")
    connections[alias].close()
    del connections[alias]  # it remembers the last example's requests
    run = Run(alias)
    for request in requests:
        copy_context().run(serve, run, request)
        rows = server.ask(f"SELECT name FROM {table} ORDER BY id")
        run.seen.append(("stored", [row["name"] for row in rows]))
    return run.seen


@pytest.mark.usefixtures("_beside")
def test_what_is_stored_and_what_fails_is_the_same(server: Server) -> None:
    @example([[(["insert", "close"], "ok")], [(["insert"], "ok")]])
    @given(requests)
    @settings(derandomize=True, deadline=None, max_examples=60)
    def is_the_same(requests: list[list[Step]]) -> None:
        ours, djangos = (
            outcome(alias, requests, server) for alias in ("default", BESIDE)
        )
        assert ours == djangos

    is_the_same()
