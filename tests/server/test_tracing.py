"""Tracers of the driver see what goes through the pool."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import MySQLdb
import pytest

from pooled_db.driver.connection import Connection
from pooled_db.driver.opening import opened_by
from tests.harness.processes import completed
from tests.harness.server import Server
from tests.sites import ROOT, run_python, site_settings

needs_opentelemetry = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None,
    reason="OpenTelemetry's instrumentation is not installed",
)

#: Counts the statements that are traced of five queries in two loans.
PROGRAM = """
from django.db import connection
from opentelemetry.instrumentation.mysqlclient import MySQLClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
MySQLClientInstrumentor().instrument(
    tracer_provider=provider, skip_dep_check=True
)
for loan in (3, 2):
    with connection.cursor() as cursor:
        for number in range(loan):
            cursor.execute("SELECT 'traced', %s", [number])
            assert cursor.fetchone() == ("traced", number)
    connection.close()
spans = exporter.get_finished_spans()
print(sum("SELECT 'traced'" in span.attributes["db.statement"] for span in spans))
"""


#: The same five queries, as others trace them; each prints how many it has seen.
WORK = """
import django
django.setup()
from django.db import connection
def work():
    for loan in (3, 2):
        with connection.cursor() as cursor:
            for number in range(loan):
                cursor.execute("SELECT 'traced', %s", [number])
                assert cursor.fetchone() == ("traced", number)
        connection.close()
def count(texts):
    print(sum("SELECT 'traced'" in str(text) for text in texts))
"""
DDTRACE = """
import os
os.environ.update(
    DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
    DD_REMOTE_CONFIGURATION_ENABLED="false",
    DD_CRASHTRACKING_ENABLED="false",
)
from ddtrace import patch
from ddtrace.trace import TraceFilter, tracer
spans = []
class Keep(TraceFilter):
    def process_trace(self, trace):
        spans.extend(trace)
tracer.configure(trace_processors=[Keep()])
patch(mysqldb=True, django=True)
%s
work()
tracer.flush()
count(span.resource for span in spans)
"""
NEW_RELIC = """
import os
os.environ.update(
    NEW_RELIC_DEVELOPER_MODE="true",
    NEW_RELIC_LICENSE_KEY="0" * 40,
    NEW_RELIC_APP_NAME="tests",
    NEW_RELIC_LOG_LEVEL="critical",
)
import newrelic.agent
newrelic.agent.initialize()
from newrelic.api.database_trace import DatabaseTrace
seen = []
enter = DatabaseTrace.__enter__
def note(self):
    seen.append(self.sql)
    return enter(self)
DatabaseTrace.__enter__ = note
application = newrelic.agent.register_application(timeout=5)
%s
with newrelic.agent.BackgroundTask(application, "tests"):
    work()
count(seen)
"""
ELASTIC = """
import elasticapm
client = elasticapm.Client(
    service_name="tests",
    disable_send=True,
    central_config=False,
    cloud_provider="none",
    metrics_interval="0s",
    span_compression_enabled=False,
)
spans = []
client.tracer.queue_func = lambda kind, data, flush=False: spans.append((kind, data))
elasticapm.instrument()
%s
client.begin_transaction("request")
work()
client.end_transaction("tests", "ok")
count(data["context"] for kind, data in spans if kind == "span")
"""


@pytest.mark.parametrize(
    ("module", "program"),
    [("ddtrace", DDTRACE), ("newrelic", NEW_RELIC), ("elasticapm", ELASTIC)],
)
@pytest.mark.parametrize(
    "engine", ["django.db.backends.mysql", "pooled_db.backends.mysql"]
)
def test_the_tracers_of_others_see_every_query(
    server: Server, engine: str, module: str, program: str
) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed: make matrix")
    settings = site_settings(server.database("pooled_traced"), engine=engine)
    traced = completed(
        [sys.executable, "-c", program % WORK],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_SETTINGS": json.dumps(settings),
        },
        cwd=ROOT,
    )
    assert traced.returncode == 0, traced.stderr
    assert traced.stdout.splitlines()[-1] == "5"


@needs_opentelemetry
@pytest.mark.parametrize(
    "engine", ["django.db.backends.mysql", "pooled_db.backends.mysql"]
)
def test_opentelemetry_traces_every_query(server: Server, engine: str) -> None:
    database = server.database("pooled_traced")
    assert run_python(PROGRAM, database, engine=engine) == "5\n"


def test_a_replaced_connect_opens_the_pools_connections(server: Server) -> None:
    program = """
import MySQLdb
from django.db import connection
import pooled_db
connect = MySQLdb.connect
class Proxy:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
MySQLdb.connect = lambda **options: Proxy(connect(**options))
for _ in range(2):
    connection.ensure_connection()
    assert type(connection.connection) is Proxy
    connection.connection.query("SET @a = 1")
    assert connection.connection.inner.is_dirty
    connection.close()
print(pooled_db.stats()["default"].opened)
"""
    assert run_python(program, server.database("pooled_traced")) == "1\n"


def wrapped_twice(inner: Connection) -> object:
    return SimpleNamespace(__wrapped__=SimpleNamespace(__wrapped__=inner))


def with_its_number(inner: Connection) -> object:
    return SimpleNamespace(thread_id=inner.thread_id)


def with_another_number(inner: Connection) -> object:
    return SimpleNamespace(thread_id=lambda: 0)


@pytest.mark.parametrize(
    ("watch", "is_found"),
    [
        (wrapped_twice, True),
        (with_its_number, True),
        (with_another_number, False),
        (lambda inner: object(), False),
    ],
)
def test_the_pools_connection_is_found_behind_what_watches_it(
    server: Server, watch: Callable[[Connection], object], is_found: bool
) -> None:
    made: list[Any] = []
    watching: list[object] = []

    def connect() -> object:
        address = {"host": server.host, "port": server.port}
        account = {"user": server.user, "password": server.password}
        made.append(MySQLdb.connect(**address, **account, **server.client_options))
        watching.append(watch(made[0]))
        return watching[0]

    opened = opened_by(connect)

    assert opened is (made[0] if is_found else None)
    assert made[0].proxy is (watching[0] if is_found else None)
    made[0].close()


def test_a_connection_of_another_driver_is_a_clear_error(server: Server) -> None:
    program = """
import MySQLdb
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
MySQLdb.connect = lambda **options: type("Other", (), {"encoders": {}})()
try:
    connection.ensure_connection()
except ImproperlyConfigured as error:
    print("MySQLdb.connect()" in str(error))
"""
    assert run_python(program, server.database("pooled_traced")) == "True\n"
