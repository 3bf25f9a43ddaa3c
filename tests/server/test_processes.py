"""Forks, signals and the end of the interpreter."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

import pooled_db
from pooled_db import pools
from pooled_db.request.current import open_scope
from tests.forks import in_child
from tests.harness.processes import poll
from tests.harness.server import Server
from tests.harness.servers import as_typed, gunicorn
from tests.loans import connection_of
from tests.site.models import Item
from tests.site.views import ask
from tests.sites import ROOT, Site, connections_by_process, run_python, site_settings

Serve = Callable[..., Site]


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own() -> None:
    mine = ask("SELECT CONNECTION_ID()")

    def work() -> bool:
        assert connection.connection is None  # what the parent has is not its own
        assert ask("SELECT CONNECTION_ID()") != mine
        return pooled_db.stats()["default"].opened == 1

    assert in_child(work) == 0
    assert ask("SELECT CONNECTION_ID()") == mine


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_closes_what_it_inherited_does_no_harm() -> None:
    with transaction.atomic():
        Item.objects.create(name="the parent's")
        assert in_child(connection.close) == 0
    assert Item.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("is_used", [True, False])
def test_a_child_of_a_request_has_connections_of_its_own(is_used: bool) -> None:
    connection.close()
    scope = open_scope()
    scope.check_out(pools.for_alias("default"))
    mine = scope.loans[0].connection
    assert mine is not None
    if is_used:
        ask("SELECT 1")
    assert in_child(lambda: ask("SELECT CONNECTION_ID()") != mine.connection_id) == 0
    assert ask("SELECT CONNECTION_ID()") == mine.connection_id
    scope.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_has_no_more_files_open_than_its_parent() -> None:
    ask("SELECT 1")
    before = len(os.listdir("/proc/self/fd"))
    assert in_child(lambda: len(os.listdir("/proc/self/fd")) <= before) == 0


def test_a_child_that_was_forked_behind_pythons_back_has_its_own(
    site_database: dict[str, Any],
) -> None:
    """In a process without other threads."""
    program = """
        import pooled_db
        from django.db import connection, transaction
        from tests.forks import fork_behind_pythons_back, in_child
        from tests.site.views import ask

        def work():
            assert connection.connection is None
            assert ask("SELECT CONNECTION_ID()") != mine
            return pooled_db.stats()["default"].opened == 1

        mine = ask("SELECT CONNECTION_ID()")
        print(in_child(work, fork_behind_pythons_back))
        print(ask("SELECT CONNECTION_ID()") == mine)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE mine (n INT) ENGINE=InnoDB")
            with transaction.atomic():
                cursor.execute("INSERT INTO mine VALUES (1)")
                print(in_child(connection.close, fork_behind_pythons_back))
        print(ask("SELECT COUNT(*) FROM mine"))
        connection.close()
    """
    assert run_python(program, site_database) == "0\nTrue\n0\n1\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_end_of_a_child_leaves_the_parents_connections_alone() -> None:
    pool = pools.for_alias("default")
    loans = [pool.checkout() for _ in range(3)]
    for loan in loans:
        loan.checkin()
    opened = pool.stats().opened

    def work() -> None:
        pools.dispose("default")
        for other in list(pooled_db.driver.connection.connections):
            other.close()

    assert in_child(work) == 0
    for _ in range(6):
        loan = pool.checkout()
        connection_of(loan).query("SELECT 1")
        connection_of(loan).store_result()
        loan.checkin()
    assert pool.stats().opened == opened


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_closes_what_it_inherited_changes_nothing_that_is_told_of_it(
    settings: Any, tmp_path: Path
) -> None:
    settings.POOLED_DB = {"STATE_DIR": str(tmp_path / "state")}
    connection.close()
    pools.dispose("default")
    ask("SELECT 1")
    (loan,) = pools.for_alias("default").lent()
    inherited = connection_of(loan)
    assert inherited.slot is not None
    told = inherited.slot.words.tolist()

    def work() -> bool:
        loan.checkin()
        return not inherited.open  # and nobody has it after this

    assert in_child(work) == 0
    assert inherited.slot.words.tolist() == told
    connection.close()
    pools.dispose("default")


def test_all_who_start_anew_in_a_child_are_told_of_it() -> None:
    told = {(one.__module__, one.__name__) for one in pooled_db.fork._in_child}
    package = Path(pooled_db.__file__).parent
    written = {
        (".".join(file.relative_to(package.parent).with_suffix("").parts), "after_fork")
        for file in package.rglob("*.py")
        if "def after_fork(" in file.read_text()
    }

    assert len(written) > 3
    assert written | {("pooled_db.pools", "_forget_parent")} <= told


def test_preloaded_workers_share_no_connection(
    site_database: dict[str, Any], server: Server
) -> None:
    """The database is used while the application is imported, before the fork."""
    env = {"TEST_SETTINGS": json.dumps(site_settings(site_database))}
    with gunicorn(
        "tests.preloaded:application",
        threads=2,
        workers=3,
        env=env,
        cwd=ROOT,
        args=("--preload",),
    ) as running:
        site = Site(running)
        seen = connections_by_process(site)
        at_import = site.get("/at-import").body
    everywhere = [number for numbers in seen.values() for number in numbers]
    assert len(everywhere) == len(set(everywhere))
    assert at_import not in everywhere


def test_gunicorns_file_is_run_by_gunicorn_alone(
    site_database: dict[str, Any], tmp_path: Path
) -> None:
    """It may set up logging, or remove what the master has made."""
    runs = tmp_path / "runs"
    file = tmp_path / "configuration.py"
    file.write_text(f"threads = 6\nopen({str(runs)!r}, 'a').write('run ')\n")
    env = {"TEST_SETTINGS": json.dumps(site_settings(site_database))}
    with as_typed(f"gunicorn tests.wsgi --config {file}", env=env) as running:
        assert Site(running).get("/queries").status == 200
    assert runs.read_text() == "run "


def test_sigterm_lets_a_running_request_end(site: Serve) -> None:
    served = site("gunicorn", threads=2)
    served.get("/queries")
    answers: list[int] = []
    request = threading.Thread(
        target=lambda: answers.append(served.get("/sleep?seconds=1").status)
    )
    request.start()
    assert poll(lambda: served.state()["in_use"] == 1)
    os.kill(served.server.pid, signal.SIGTERM)
    request.join()
    assert answers == [200]
    served.server.terminate()


def test_no_connection_of_a_server_that_ends_by_its_signal_is_cut(
    site: Serve, server: Server
) -> None:
    """uvicorn clears nothing up: for the database its connections would be aborted."""
    aborted = server.status("Aborted_clients")
    served = site("uvicorn", door=True)
    assert served.get("/queries").status == 200
    served.server.terminate()
    assert poll(lambda: not server.process_list())
    assert served.server.exit_status == -signal.SIGTERM
    assert server.status("Aborted_clients") == aborted


def test_the_interpreter_ends_quietly_with_connections_out(
    site_database: dict[str, Any],
) -> None:
    program = """
        from django.db import connection, transaction
        from pooled_db import pools
        connection.ensure_connection()
        loan = pools.for_alias("default").checkout()
    """
    assert run_python(program, site_database) == ""
