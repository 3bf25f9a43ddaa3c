"""The compatibility matrix: `make matrix`, or `make matrix ARGS="-s servers"`.

Sensible pairs rather than the product: the lowest of everything, each Django on its
lowest and its highest Python, the newest of everything. What a session has seen it
writes to build/matrix, and `-s table` makes docs/compatibility.md's tables of that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nox

RECORDS = Path("build/matrix").resolve()
#: Where .ci/unstable unpacks Debian unstable's programs.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
UNSTABLE = CACHE / "pooled_db/unstable"
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

# A shim in PATH runs only what pyenv has been told to.
os.environ["PATH"] = os.pathsep.join(
    [*map(str, PYENV.glob("versions/3.*/bin")), os.environ["PATH"]]
)

#: The tests that meet Django, SQLAlchemy and the driver most. The others are about the
#: gate, the pace, the simulation, the settings, the servers and the harness.
CORE = [
    "tests/server/test_adoption.py",
    "tests/server/test_backend.py",
    "tests/server/test_pool.py",
    "tests/server/test_processes.py",
    "tests/server/test_sessions.py",
    "tests/server/test_unavailable.py",
]

LOWEST = ("Django==4.2", "SQLAlchemy==2.0.55", "mysqlclient==2.2.0")
NEWEST = ("Django", "SQLAlchemy", "mysqlclient")
Pair = tuple[str, tuple[str, ...], list[str]]
PAIRS: dict[str, Pair] = {
    "lowest": ("3.10", LOWEST, []),
    "django4.2": (
        "3.12",
        ("Django==4.2.*", "SQLAlchemy==2.0.*", "mysqlclient<2.3"),
        CORE,
    ),
    "django5.2-low": (
        "3.10",
        ("Django==5.2.*", "SQLAlchemy==2.0.55", "mysqlclient"),
        CORE,
    ),
    "django5.2": ("3.13", ("Django==5.2.*", "SQLAlchemy", "mysqlclient==2.2.0"), CORE),
    "django6.0-low": (
        "3.12",
        ("Django==6.0", "SQLAlchemy==2.0.55", "mysqlclient<2.3"),
        CORE,
    ),
    "django6.0": ("3.13", ("Django==6.0.*", "SQLAlchemy", "mysqlclient"), CORE),
    "django6.1-low": (
        "3.12",
        ("Django==6.1", "SQLAlchemy==2.0.*", "mysqlclient==2.2.1"),
        CORE,
    ),
    "newest": ("3.13", NEWEST, []),
    "newest-on-3.14": ("3.14", NEWEST, []),
}
#: As in the Makefile.
WORKERS = str(2 * (os.cpu_count() or 1))
#: Per cent. What is missing overrides attributes of Django's, whose types are its own.
LEAST_TYPED = 97.0
SHOWN = (
    "Django",
    "SQLAlchemy",
    "mysqlclient",
    "PyMySQL",
    "gunicorn",
    "uvicorn",
    "daphne",
    "granian",
    "hypercorn",
    "uWSGI",
    "gevent",
    "django-prometheus",
)


@nox.session
@nox.parametrize(
    "python,pins,tests", [nox.param(*pair, id=name) for name, pair in PAIRS.items()]
)
def tests(session: nox.Session, pins: tuple[str, ...], tests: list[str]) -> None:
    """The tests, or their core, with one set of versions."""
    session.install("-e", ".[test]", *pins)
    run_tests(session, *tests)


@nox.session(python=["3.10", "3.13"])
def servers(session: nox.Session) -> None:
    """Each application server that can be installed serves the site."""
    session.install("-e", ".[test,servers]", "PyMySQL", "gevent", *NEWEST)
    run_tests(session, "tests/server/test_servers.py")


@nox.session(python=["3.10", "3.13"])
def pymysql(session: nox.Session) -> None:
    """PyMySQL in mysqlclient's place; under gevent the servers' session has it."""
    oldest = LOWEST if session.python == "3.10" else NEWEST
    session.install("-e", ".[test]", "PyMySQL", *oldest)
    run_tests(session, "tests/server/test_pymysql.py")


@nox.session(python="3.12")
def tracers(session: nox.Session) -> None:
    """ddtrace, New Relic, Elastic APM and OpenTelemetry see every query."""
    watchers = ("ddtrace", "newrelic", "elastic-apm")
    opentelemetry = ("opentelemetry-instrumentation-mysqlclient", "opentelemetry-sdk")
    session.install("-e", ".[test]", *watchers, *opentelemetry, *NEWEST)
    run_tests(session, "tests/server/test_tracing.py")


@nox.session(python=["3.10", "3.13"])
def backends(session: nox.Session) -> None:
    """GeoDjango's backend and django-prometheus', pooled."""
    oldest = LOWEST if session.python == "3.10" else NEWEST
    session.install("-e", ".[test]", "django-prometheus", *oldest)
    run_tests(session, "tests/server/test_derived_backends.py")


@nox.session(python=str(UNSTABLE / "usr/bin/python3.14"))
@nox.parametrize(
    "server", [nox.param(server, id=server) for server in ("mysql", "mariadb")]
)
def unstable(session: nox.Session, server: str) -> None:
    """Debian unstable's Python and server; MySQL by way of Oracle's client library."""
    building = {"CFLAGS": f"-idirafter {UNSTABLE}/usr/include"}
    testing = {"PATH": f"{session.bin}:{UNSTABLE}/bin:{os.environ['PATH']}"}
    if server == "mysql":
        building["MYSQLCLIENT_CFLAGS"] = f"-I{UNSTABLE}/usr/include/mysql"
        # This machine's linker does not know the newer versions of what it links with.
        building["MYSQLCLIENT_LDFLAGS"] = (
            f"-L{UNSTABLE}/libraries -lmysqlclient -Wl,--allow-shlib-undefined"
        )
        program = session.run(".ci/mysql", external=True, silent=True)
        testing["POOLED_DB_MYSQLD"] = str(program).split()[-1]
        testing["POOLED_DB_TEST_SERVER"] = "mysql"
    # There may be one in uv's cache that was built with another library.
    driver = ("--no-cache", "--no-binary", "mysqlclient", "mysqlclient")
    session.install(*driver, env=building)
    session.install("-e", ".[test]", *NEWEST)
    run_tests(session, env=testing)


@nox.session(python=["3.10", "3.13"])
@nox.parametrize("suffix", [nox.param("whl", id="wheel"), nox.param("gz", id="sdist")])
def package(session: nox.Session, suffix: str) -> None:
    """What PyPI would get, installed into a clean environment, serves a new project."""
    dist = session.create_tmp()
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", dist, silent=True)
    archives = sorted(map(str, Path(dist).glob("*.[wg]*")))
    session.run("twine", "check", "--strict", *archives)
    session.install(*(archive for archive in archives if archive.endswith(suffix)))
    plugins = ("pytest-django", "pytest-randomly", "pytest-xdist")
    session.install("gunicorn", "hypothesis", "pytest", *plugins, "uvicorn")
    run_tests(session, "tests/server/test_adoption.py")


@nox.session(python="3.12")
def types(session: nox.Session) -> None:
    """How much of the public interface pyright sees the types of."""
    stubs = ("django-stubs", "types-mysqlclient", "types-PyMySQL")
    session.install(".", "pyright[nodejs]", *stubs)
    with session.chdir(session.create_tmp()):
        report = session.run(
            *("pyright", "--verifytypes", "pooled_db", "--ignoreexternal"),
            success_codes=[0, 1],  # 1: not all of them
            silent=True,
        )
    (score,) = re.findall(r"completeness score: ([\d.]+)%", str(report))
    if float(score) < LEAST_TYPED:
        session.error(f"{report}\n{score} % is below {LEAST_TYPED} %")
    record(session, f"{score} % of the public interface is typed")


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Print what the sessions have recorded, as tables in Markdown."""
    records = {
        record["session"]: record
        for record in map(json.loads, map(Path.read_text, RECORDS.glob("*.json")))
    }
    print("| session | Python |", " | ".join(NEWEST), "| date | result |")
    print("| --- |" + " --- |" * 6)
    for name, (python, _, _) in PAIRS.items():
        record = records.pop(f"tests({name})", None)
        if record is not None:
            print(row(name, record, NEWEST))
        else:
            here = shutil.which(f"python{python}") is not None
            reason = "not run yet" if here else f"skipped: no Python {python} here"
            print(f"| {name} | {python} | | | | | {reason} |")
    print("\n| session | Python | with | date | result |")
    print("| --- |" + " --- |" * 4)
    for name, record in sorted(records.items()):
        print(row(name, record))


def row(name: str, record: dict[str, Any], columns: Sequence[str] = ()) -> str:
    versions = record["versions"]
    shown = [versions.get(column, "") for column in columns] or [
        ", ".join(f"{k} {v}" for k, v in versions.items() if k != "Python")
    ]
    cells = [name, versions["Python"], *shown, record["date"], record["result"]]
    return f"| {' | '.join(cells)} |"


def run_tests(
    session: nox.Session, *tests: str, env: dict[str, str] | None = None
) -> None:
    """Run pytest, and record its numbers."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as junit:
        status = 0
        try:
            session.run(
                *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-n", WORKERS, "--dist", "worksteal"),
                f"--junitxml={junit.name}",
                *(session.posargs or tests),
                env=env,
            )
        except nox.command.CommandFailed:
            status = 1
        result = summary(Path(junit.name).read_text())
    if not session.posargs:
        record(session, result)
    if status:
        session.error(result)


def summary(junit: str) -> str:
    """Say what pytest found, with the reason of each skip."""
    if not junit:
        return "pytest did not start"
    suite = ElementTree.fromstring(junit)[0]
    total, failed, skipped = (
        int(suite.get("tests", 0)),
        int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
        int(suite.get("skipped", 0)),
    )
    parts = [f"{total - failed - skipped} passed"]
    if failed:
        parts.append(f"**{failed} failed**")
    if skipped:
        reasons = {element.get("message", "") for element in suite.iter("skipped")}
        parts.append(f"{skipped} skipped ({'; '.join(sorted(reasons))})")
    return ", ".join(parts)


def record(session: nox.Session, result: str) -> None:
    """Write *result* where the table finds it, with the versions of the session."""
    asked = session.run("python", "-c", ASK_VERSIONS, *SHOWN, silent=True, log=False)
    assert asked is not None, "a silent command's output is returned"
    RECORDS.mkdir(parents=True, exist_ok=True)
    name = session.name
    (RECORDS / f"{re.sub('[^a-z0-9.]+', '-', name)}.json").write_text(
        json.dumps(
            {
                "session": name,
                "date": datetime.now(timezone.utc).date().isoformat(),
                "versions": json.loads(asked),
                "result": result,
            }
        )
    )


ASK_VERSIONS = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
