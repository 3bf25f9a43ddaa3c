"""Forks by a thread: what the parent's other threads have is theirs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from pooled_db import fork, pools
from pooled_db.pool.pool import outsiders
from tests.forks import in_child
from tests.site.models import Item
from tests.site.views import ask
from tests.sites import run_python

#: The number of no process.
NOBODY = -1


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_thread_that_forks_ends_no_other_threads_transaction() -> None:
    with transaction.atomic():
        Item.objects.create(name="another thread's")
        ask("SET @mine = 5")
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(in_child, lambda: None).result() == 0
        assert ask("SELECT @mine") == 5
    assert Item.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_a_child_says_on_its_parents_connection_goes_nowhere() -> None:
    number = ask("SELECT CONNECTION_ID()")
    inherited = connection.connection

    def work() -> bool:
        leads_to = os.fstat(inherited.fileno())
        inherited.close()
        return os.path.samestat(leads_to, os.stat(os.devnull))

    assert in_child(work) == 0
    assert ask("SELECT CONNECTION_ID()") == number


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_was_lent_to_the_parent_is_not_lent_to_a_child() -> None:
    wrapper: Any = connections["default"]
    ask("SELECT 1")
    assert in_child(lambda: wrapper.loan is None and not outsiders) == 0
    assert outsiders == {wrapper.loan}


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_so_is_it_with_a_pool_that_has_been_disposed_of() -> None:
    wrapper: Any = connections["default"]
    ask("SELECT 1")
    pools.dispose("default")
    assert in_child(lambda: wrapper.loan is None and not outsiders) == 0
    assert outsiders == {wrapper.loan}


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_so_is_it_where_python_was_not_told_of_the_fork() -> None:
    wrapper: Any = connections["default"]

    def work() -> bool:
        ask("SELECT 1")
        assert wrapper.connection is not None
        fork.process = NOBODY
        return wrapper.connection is None and not outsiders

    assert in_child(work) == 0


@pytest.mark.parametrize(
    "has",
    [
        "kept = [connection.copy()]; number = asks(kept[0])",
        "kept = [open_scope()]; number = asks(connection)",
    ],
    ids=["wrapper", "request"],
)
def test_what_a_child_has_collected_before_it_starts_anew_is_the_parents(
    site_database: dict[str, Any], has: str
) -> None:
    program = f"""
        import gc, os
        from django.db import connection
        from pooled_db.request.current import current, open_scope
        from tests.forks import fork_behind_pythons_back

        def asks(wrapper):
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT CONNECTION_ID()")
                return cursor.fetchone()

        {has}
        pid = fork_behind_pythons_back()
        if pid == 0:
            current.set(None)
            kept.clear()
            gc.collect()
            os._exit(0)
        os.waitpid(pid, 0)
        wrapper = kept[0] if hasattr(kept[0], "cursor") else connection
        print(asks(wrapper) == number)
        wrapper.close()
    """
    assert run_python(program, site_database) == "True\n"
