"""Tracers of the driver see what goes through the pool."""

from __future__ import annotations

import importlib.util

import pytest

from tests.harness.server import Server
from tests.sites import run_python

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
