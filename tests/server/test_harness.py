"""The harness keeps its promises; everything else is tested on top of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import MySQLdb
import pytest

from pooled_db.driver.errors import error_code
from tests.harness.kinds import private_server
from tests.harness.mariadb import MariaDB
from tests.harness.private import PrivateServer, ServerError
from tests.harness.processes import MARK, poll
from tests.harness.server import from_url
from tests.harness.servers import ServerFailed, Serving, gunicorn, uvicorn

ROOT = Path(__file__).parents[2]
TOO_MANY_CONNECTIONS = 1040

APPLICATION = textwrap.dedent(
    """
    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})
    """
)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[PrivateServer]:
    with private_server(max_connections=10) as server:
        yield server


@pytest.fixture
def server(shared_server: PrivateServer) -> PrivateServer:
    """The server, once it has seen the last test's connections go."""
    assert poll(lambda: shared_server.status("Threads_connected") == 0)
    return shared_server


def url_of(server: PrivateServer) -> str:
    options = urlencode(server.client_options)
    account = f"{server.user}:{server.password}"
    return f"mysql://{account}@{server.host}:{server.port}/?{options}"


@pytest.fixture
def application(tmp_path: Path) -> Path:
    (tmp_path / "application.py").write_text(APPLICATION)
    return tmp_path


def query(
    server: PrivateServer, sql: str, **options: object
) -> tuple[tuple[object, ...], ...]:
    with contextlib.closing(server.connect(**options)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            rows: tuple[tuple[object, ...], ...] = cursor.fetchall()
        connection.commit()
        return rows


def directory_of(server: PrivateServer) -> Path:
    assert server.socket is not None
    return Path(server.socket).parent


def marked_processes(directory: str) -> list[str]:
    mark = f"{MARK}={directory}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(environ.parent.name)
    return found


@pytest.mark.parametrize("via", ["tcp", "socket"])
def test_application_reaches_its_database(
    server: PrivateServer, via: Literal["tcp", "socket"]
) -> None:
    """What database() returns opens a connection, by TCP and by the socket."""
    part = server.database("shop", via=via)
    address = (
        {"unix_socket": part["HOST"]}
        if via == "socket"
        else {"host": part["HOST"], "port": part["PORT"]}
    )
    connection = MySQLdb.connect(
        user=part["USER"],
        password=part["PASSWORD"],
        database=part["NAME"],
        **address,
        **part.get("OPTIONS", {}),
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        assert cursor.fetchone() == ("shop",)


def test_application_gets_max_connections_and_not_one_more(
    server: PrivateServer,
) -> None:
    """The harness takes none of them away; an administrator comes in all the same."""
    with contextlib.ExitStack() as held:
        for _ in range(server.max_connections):
            held.enter_context(contextlib.closing(server.connect()))

        with pytest.raises(MySQLdb.OperationalError) as refused:
            server.connect()

        assert error_code(refused.value) == TOO_MANY_CONNECTIONS
        # MariaDB refuses after it has listed the connection, and then unlists it.
        limit = server.max_connections
        assert poll(lambda: len(server.process_list()) == limit)
        assert poll(lambda: server.status("Threads_connected") == limit)
        held.enter_context(contextlib.closing(server.admin()))


def test_max_connections_that_mariadb_would_change_is_refused() -> None:
    with pytest.raises(ValueError, match="no less than 10"):
        MariaDB(max_connections=9)


def test_status_leaves_the_harness_out(server: PrivateServer) -> None:
    """Between two readings only the application's statements are counted."""
    with contextlib.closing(server.connect(autocommit=True)) as connection:
        before = server.status("Questions")
        connection.query("DO 1")
        connection.query("DO 2")
        server.process_list()
        assert server.status("Questions") - before == 2


def test_flush_status_resets_the_high_water_mark(server: PrivateServer) -> None:
    server.flush_status()
    with contextlib.closing(server.connect()):
        pass
    assert server.status("Max_used_connections") == 1


def test_process_list_tells_what_a_connection_does(server: PrivateServer) -> None:
    server.database("shop")
    with contextlib.closing(server.connect(database="shop")) as connection:
        assert poll(lambda: server.process_list()[0]["command"] == "Sleep")
        (row,) = server.process_list()
        assert row["id"] == connection.thread_id()
    assert row["db"] == "shop"
    assert row["info"] is None
    assert {"state", "time"} < row.keys()


def test_open_transactions_sees_an_idle_one(server: PrivateServer) -> None:
    """Readings in a row are each up to date."""
    with contextlib.closing(server.connect()) as connection:
        connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        assert server.open_transactions() == 1
        connection.rollback()
        assert server.open_transactions() == 0


def test_open_transactions_is_up_to_date_after_another_look(
    server: PrivateServer,
) -> None:
    """InnoDB's copy is one for all who read it."""
    with from_url(url_of(server)) as other:
        assert other.open_transactions() == 0
        with contextlib.closing(server.connect()) as connection:
            connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            assert server.open_transactions() == 1
            assert other.open_transactions() == 1


def test_restart_keeps_data_and_port() -> None:
    with private_server() as server:
        port = server.port
        server.database("shop")
        query(server, "CREATE TABLE shop.item (id INT PRIMARY KEY)")
        query(server, "INSERT INTO shop.item VALUES (7)")
        first_pid = server.pid

        server.restart()

        assert server.port == port
        assert server.pid != first_pid
        assert query(server, "SELECT id FROM shop.item") == ((7,),)

        server.kill()
        with pytest.raises(MySQLdb.OperationalError):
            server.connect()
        server.start()
        assert query(server, "SELECT 1") == ((1,),)


def test_paused_server_answers_nothing_until_resumed() -> None:
    with private_server() as server:
        server.pause()
        with pytest.raises(MySQLdb.OperationalError):
            server.connect(connect_timeout=1)
        server.resume()
        assert query(server, "SELECT 1") == ((1,),)
        server.pause()
        server.stop()


def test_two_servers_know_nothing_of_each_other(server: PrivateServer) -> None:
    server.database("here")
    with private_server() as other:
        assert other.port != server.port
        assert ("here",) not in query(other, "SHOW DATABASES")


def test_failed_start_shows_the_log() -> None:
    with pytest.raises(ServerError, match="unknown option '--no-such-option'"):
        private_server(options=["--no-such-option"]).__enter__()


def test_from_url_reads_the_same(server: PrivateServer) -> None:
    with (
        from_url(url_of(server)) as existing,
        contextlib.closing(server.connect()) as connection,
    ):
        assert existing.database("shop")["PORT"] == server.port
        assert [row["id"] for row in existing.process_list()] == [
            connection.thread_id()
        ]
        assert existing.status("Threads_connected") >= 1
        assert existing.open_transactions() == 0


@pytest.mark.parametrize("url", ["postgres://localhost/", "mysql:///", "localhost"])
def test_from_url_refuses_what_it_cannot_use(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL like mysql://"):
        from_url(url)


def test_nothing_is_left_at_the_end() -> None:
    with private_server() as server:
        directory = directory_of(server)
        assert marked_processes(str(directory)) == [str(server.pid)]
    assert not directory.exists()
    assert not marked_processes(str(directory))


def test_a_forked_child_does_not_hold_up_the_end() -> None:
    """Though it inherits the pipe on which the keeper waits."""
    with private_server() as server:
        directory = directory_of(server)
        child = os.fork()
        if child == 0:
            signal.pause()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not directory.exists()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_parent_is_killed(
    signal_number: signal.Signals, application: Path
) -> None:
    """Neither processes nor files, of the database and the application server."""
    script = """
import sys, time
from tests.harness.kinds import private_server
from tests.harness.servers import gunicorn

with private_server() as server:
    with gunicorn("application:wsgi", env={}, cwd=sys.argv[1]) as app:
        print(server.socket.rpartition("/")[0], app._keeper.directory, flush=True)
        time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(application)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as parent:
        assert parent.stdout is not None
        directories = parent.stdout.readline().split()
        assert len(directories) == 2
        assert all(marked_processes(directory) for directory in directories)
        parent.send_signal(signal_number)

    for directory in directories:
        assert poll(lambda: not marked_processes(directory))  # noqa: B023
        assert poll(lambda: not os.path.exists(directory))  # noqa: B023


@pytest.mark.parametrize(
    ("serve", "name"), [(gunicorn, "application:wsgi"), (uvicorn, "application:asgi")]
)
def test_application_server_serves_and_ends(
    serve: Callable[..., Serving], name: str, application: Path
) -> None:
    with serve(name, env={}, cwd=application) as server:
        with urllib.request.urlopen(server.url) as response:
            assert response.read() == b"hello"
        assert server.pid
        assert server.threads() >= 1
        assert 0 < server.cpu_seconds() < 30
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert not server.running()
    assert "Shutting down" in server.log()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(server.url)


def test_gunicorn_counts_the_threads_of_its_workers(application: Path) -> None:
    """The arbiter serves nobody and is not counted."""
    args = ("--worker-class", "gthread")
    with gunicorn(
        "application:wsgi", workers=2, threads=3, env={}, cwd=application, args=args
    ) as server:
        idle = server.threads()
        with urllib.request.urlopen(server.url):
            pass
        assert 2 <= idle <= server.threads()


@pytest.mark.parametrize("serve", [gunicorn, uvicorn])
def test_early_end_shows_the_log(serve: Callable[..., Serving]) -> None:
    with pytest.raises(ServerFailed, match="no_such_module"):
        serve("no_such_module:application", env={}).__enter__()
