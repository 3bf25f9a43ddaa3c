"""A served test site, as its clients see it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.harness import servers
from tests.harness.processes import completed, poll, tail
from tests.harness.server import Server
from tests.harness.servers import AppServer
from tests.harness.sockets import ports_of_clients

ROOT = Path(__file__).parent.parent

Kind = Literal[
    "gunicorn",
    "gunicorn gevent",
    "uwsgi",
    "granian wsgi",
    "granian asgi",
    "uvicorn",
    "daphne",
    "hypercorn",
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Site:
    server: AppServer

    def get(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Answer:
        client = http.client.HTTPConnection(
            self.server.host, self.server.port, timeout=30
        )
        try:
            client.request(method, path, headers=headers or {})
            response = client.getresponse()
            body = response.read().decode()
        finally:
            client.close()
        return Answer(response.status, dict(response.getheaders()), body)

    def state(self, alias: str = "default") -> dict[str, int]:
        """The numbers of the pool in the serving process."""
        answer = self.get("/exempt/state")
        assert answer.status == 200, answer
        states: dict[str, dict[str, int]] = json.loads(answer.body)
        empty = dict.fromkeys(("in_use", "on_call", "free", "limit", "waiting"), 0)
        return states.get(alias, empty)

    def at_rest(self) -> bool:
        state = self.state()
        on_call = state["on_call"]
        return (state["in_use"], state["waiting"]) == (on_call, 0) and (
            state["free"] + on_call == state["limit"]
        )

    def assert_nothing_left(self) -> None:
        assert poll(self.at_rest), self.state()


def site_settings(
    database: dict[str, Any],
    *,
    pool: dict[str, Any] | bool = True,
    engine: str = "pooled_db.backends.mysql",
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Settings of a served site, as tests/settings.py takes them from TEST_SETTINGS."""
    if options is None:
        options = {"pool": pool} if engine.startswith("pooled_db") else {}
    options = {**database.get("OPTIONS", {}), **options}
    default = {"ENGINE": engine, **database, "OPTIONS": options}
    return {"DATABASES": {"default": default}, **settings}


def make_tables(database: dict[str, Any], **settings: Any) -> None:
    """Give *database* the tables of the site that is served with *settings*."""
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
        env=_environment(database, **settings),
        cwd=ROOT,
        check=True,
    )


def run_python(program: str, database: dict[str, Any], **settings: Any) -> str:
    """Run *program* with Django set up and every warning an error; its output."""
    set_up = "import django; django.setup()\n"
    return run_without_django(set_up + textwrap.dedent(program), database, **settings)


def run_without_django(program: str, database: dict[str, Any], **settings: Any) -> str:
    """Do the same, but leave it to *program* to set Django up."""
    done = completed(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        env=_environment(database, **settings),
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _environment(database: dict[str, Any], **settings: Any) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_SETTINGS": json.dumps(site_settings(database, **settings)),
    }


@contextlib.contextmanager
def serve(
    kind: Kind = "gunicorn",
    *,
    database: dict[str, Any],
    threads: int = 8,
    door: bool = False,
    **settings: Any,
) -> Iterator[Site]:
    """Serve the test site; its pool must be at rest at the end.

    Without *door* Django's handler is called at once, and the middleware admits.
    """
    if not door:
        given = settings.get("POOLED_DB", {"EXEMPT": [r"^exempt/"]})
        settings["POOLED_DB"] = {**given, "DOOR": False}
    env = {
        "TEST_SETTINGS": json.dumps(site_settings(database, **settings)),
        # Django warns of synchronous bodies under ASGI and of asynchronous ones
        # under WSGI, which it serves all the same.
        "PYTHONWARNINGS": "error,ignore:StreamingHttpResponse must consume",
    }
    with _start(kind, threads, env) as server:
        site = Site(server)
        yield site
        # pytest shows it if the test has failed.
        print(_first_failure(server.log()), _last_words(server.log()), sep="\n")
        if server.running():
            site.assert_nothing_left()


def _first_failure(log: str) -> str:
    start = log.find("Internal Server Error")
    return "" if start < 0 else "\n".join(log[start:].splitlines()[:120])


def _last_words(log: str) -> str:
    """Return the end of *log* without uvicorn's line for each request."""
    lines = [line for line in log.splitlines() if not line.startswith("INFO:")]
    return tail("\n".join(lines))


def _start(kind: Kind, threads: int, env: dict[str, str]) -> servers.Serving:
    wsgi, asgi = "tests.wsgi:application", "tests.asgi:application"
    match kind:
        case "gunicorn":
            return servers.gunicorn(wsgi, threads=threads, env=env, cwd=ROOT)
        case "gunicorn gevent":
            args = ("--worker-class", "gevent")
            # mysqlclient's waits are not gevent's.
            env = env | {"TEST_DRIVER": "pymysql"}
            return servers.gunicorn(wsgi, env=env, cwd=ROOT, args=args)
        case "uwsgi":
            return servers.uwsgi(wsgi, threads=threads, env=env, cwd=ROOT)
        case "granian wsgi":
            args = ("--blocking-threads", str(threads))
            return servers.granian(wsgi, interface="wsgi", env=env, cwd=ROOT, args=args)
        case "granian asgi":
            # Django has no lifespan, hence asginl.
            return servers.granian(asgi, interface="asginl", env=env, cwd=ROOT)
        case "uvicorn":
            return servers.uvicorn(asgi, env=env, cwd=ROOT)
        case "daphne":
            return servers.daphne(asgi, env=env, cwd=ROOT)
        case "hypercorn":
            return servers.hypercorn(asgi, env=env, cwd=ROOT)


def connections_by_process(preloaded: Site) -> dict[str, set[str]]:
    """Which connections the processes of tests/preloaded.py use, by process."""
    seen: dict[str, set[str]] = {}

    def ask() -> bool:
        process, connection_id = preloaded.get("/").body.split()
        seen.setdefault(process, set()).add(connection_id)
        return len(seen) > 1

    assert poll(ask), "only one process answers"
    for _ in range(60):
        ask()
    return seen


class ConnectionCounter:
    """The most connections to one database that the server shows while it runs.

    A busy server still lists for a moment whose client has closed its socket: that is
    not counted, as it is not open.
    """

    def __init__(self, server: Server, database: str) -> None:
        self._server = server
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self.most = 0

    def __enter__(self) -> ConnectionCounter:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._stop.wait(0.02):
            listed = {
                int(process["host"].rpartition(":")[2])
                for process in self._server.process_list()
                if process["db"] == self._database
            }
            if len(listed) > self.most:
                listed &= ports_of_clients(self._server.port)
                self.most = max(self.most, len(listed))
