"""Backends of others that derive from Django's get a pool by the same mixin."""

from __future__ import annotations

import importlib.util
import json
from ctypes.util import find_library
from typing import Any

import pytest

from tests.harness.server import Server
from tests.sites import run_python

needs_gdal = pytest.mark.skipif(
    find_library("gdal") is None or find_library("geos_c") is None,
    reason="libgdal or libgeos is not installed: .ci/setup gis",
)
needs_prometheus = pytest.mark.skipif(
    importlib.util.find_spec("django_prometheus") is None,
    reason="django-prometheus is not installed: make matrix",
)


@needs_gdal
def test_geodjango_stores_and_finds_places_through_the_pool(server: Server) -> None:
    found = run_python(
        """
        import json
        from django.core.management import call_command
        from django.contrib.gis.geos import Point, Polygon
        from django.db import connection
        import pooled_db
        from tests.places.models import Place
        call_command("migrate", run_syncdb=True, verbosity=0)
        connection.close()
        Place.objects.all().delete()
        for name, x in (("near", 1), ("far", 9)):
            Place.objects.create(name=name, at=Point(x, x))
            connection.close()
        inside = Place.objects.filter(at__within=Polygon.from_bbox((0, 0, 2, 2)))
        names = [place.name for place in inside]
        connection.close()
        stats = pooled_db.stats()["default"]
        print(json.dumps([names, stats.opened, stats.checkouts, stats.in_use]))
        """,
        server.database("pooled_places"),
        engine="pooled_db.backends.mysql_gis",
        INSTALLED_APPS=["django.contrib.gis", "pooled_db", "tests.places"],
    )
    assert json.loads(found) == [["near"], 1, 4, 0]


@needs_prometheus
def test_django_prometheus_counts_what_goes_through_the_pool(
    server: Server,
) -> None:
    numbers: dict[str, Any] = json.loads(
        run_python(
            """
            import json
            from django.db import connection
            from django_prometheus.db import connections_total, execute_total
            import pooled_db
            mine = "default", "mysql"
            for _ in range(3):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    cursor.execute("SELECT 2")
                connection.close()
            print(json.dumps({
                "opened": pooled_db.stats()["default"].opened,
                "connections": connections_total.labels(*mine)._value.get(),
                "queries": execute_total.labels(*mine)._value.get(),
            }))
            """,
            server.database("pooled_prometheus"),
            engine="tests.backends.prometheus",
            options={"pool": {"pool_size": 2}},
        )
    )
    assert numbers["opened"] == 1
    assert numbers["connections"] == 1  # those opened, not those lent
    assert numbers["queries"] >= 6


def test_the_other_backend_opens_the_pools_connections(server: Server) -> None:
    program = """
    from django.db import connection
    from django.db.backends.mysql import base
    from pooled_db.backends.mysql.base import PooledMixin
    opened = []
    class Other(base.DatabaseWrapper):
        def get_new_connection(self, conn_params):
            opened.append(conn_params.pop("init_command"))
            return super().get_new_connection(conn_params)
    class Derived(PooledMixin, Other):
        pass
    connection.settings_dict["OPTIONS"]["init_command"] = "no SQL"
    derived = Derived(connection.settings_dict, "default")
    for _ in range(3):
        derived.ensure_connection()
        derived.close()
    print(opened)
    """
    found = run_python(program, server.database("pooled_derived"))
    assert found == "['no SQL']\n"
