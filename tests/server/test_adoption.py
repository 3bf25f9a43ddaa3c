"""A fresh project adopts pooled_db by editing its settings alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.server import Server
from tests.harness.servers import gunicorn, uvicorn
from tests.sites import Site

ADOPTED = """
INSTALLED_APPS += ["pooled_db"]
MIDDLEWARE.insert(0, "pooled_db.middleware.PooledConnectionMiddleware")
DATABASES["default"]["ENGINE"] = "pooled_db.backends.mysql"
"""

URLS = """
from django.http import HttpResponse
from django.urls import path
from django.db import connection

def count(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        return HttpResponse(cursor.fetchone()[0])

def session(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse("seen")

urlpatterns = [path("count", count), path("session", session)]
"""

TESTS = """
from urllib.request import urlopen

from django.contrib.auth.models import Group
from django.db import connection
from django.test import LiveServerTestCase, TestCase, TransactionTestCase


def database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE()")
        return cursor.fetchone()[0]


class InTestCase(TestCase):
    def test_a_write_is_rolled_back(self):
        Group.objects.create(name="one")
        self.assertEqual(Group.objects.count(), 1)

    def test_b_write_is_rolled_back(self):
        Group.objects.create(name="one")
        self.assertEqual(Group.objects.count(), 1)

    def test_client_sees_the_tests_transaction(self):
        Group.objects.create(name="one")
        self.assertIn("test_", self.client.get("/count").content.decode())
        self.assertEqual(self.client.get("/session").status_code, 200)
        self.assertEqual(Group.objects.count(), 1)

    async def test_async_client_sees_the_tests_transaction(self):
        await Group.objects.acreate(name="one")
        response = await self.async_client.get("/session")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(await Group.objects.acount(), 1)


class InTransactionTestCase(TransactionTestCase):
    def test_commits(self):
        Group.objects.create(name="one")
        connection.close()
        self.assertEqual(Group.objects.count(), 1)

    def test_is_flushed(self):
        self.assertEqual(Group.objects.count(), 0)

    def test_runs_on_the_test_database(self):
        self.assertIn("test_", database())


class InLiveServer(LiveServerTestCase):
    def test_is_served_from_the_test_database(self):
        self.assertIn("test_", urlopen(self.live_server_url + "/count").read().decode())
        for _ in range(5):
            urlopen(self.live_server_url + "/session").read()
"""

#: Connects while the project is loaded, before there is a test database.
EAGER = """
from django.apps import AppConfig


class Config(AppConfig):
    name = "shop"

    def ready(self):
        import warnings
        from django.db import connection
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.close()
"""

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    """Start a project and edit its settings, and nothing else of it."""

    def start(settings: str = ADOPTED) -> Path:
        run(tmp_path, "-m", "django", "startproject", "shop", ".")
        database = server.database("pooled_adopted")
        with (tmp_path / "shop" / "settings.py").open("a") as file:
            file.write(
                f"\nDATABASES['default'] = {database | {'ENGINE': PLAIN}!r}\n{settings}"
            )
        (tmp_path / "shop" / "urls.py").write_text(URLS)
        return tmp_path

    return start


PLAIN = "django.db.backends.mysql"


def run(directory: Path, *args: str, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=directory,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "shop.settings"}
        if "startproject" not in args
        else {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert (done.returncode == 0) is ok, output
    return output


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize("settings", [ADOPTED, ""], ids=["pooled", "plain"])
def test_a_fresh_project_serves_pooled_and_without_the_lines_as_before(
    project: Project, settings: str, kind: str
) -> None:
    root = project(settings)
    run(root, "manage.py", "check", "--database", "default")
    run(root, "manage.py", "migrate", "--verbosity", "0")
    env = {"DJANGO_SETTINGS_MODULE": "shop.settings"}
    serving: Any = (
        gunicorn("shop.wsgi:application", threads=4, env=env, cwd=root)
        if kind == "gunicorn"
        else uvicorn("shop.asgi:application", env=env, cwd=root)
    )
    with serving as server:
        site = Site(server)
        for _ in range(3):
            assert site.get("/count", headers={"Host": "localhost"}).status == 200
            assert site.get("/session", headers={"Host": "localhost"}).status == 200


@pytest.mark.parametrize("parallel", ["1", "2"])
def test_manage_py_test_works_on_the_test_database(
    project: Project, parallel: str
) -> None:
    root = project(
        ADOPTED
        + 'INSTALLED_APPS += ["shop.apps.Config"]\n'
        + 'OPTIONS = DATABASES["default"].setdefault("OPTIONS", {})\n'
        + 'OPTIONS["pool"] = {"pool_size": 3, "timeout": 9}\n'
        + f'DATABASES["default"]["TEST"] = {{"NAME": "test_adopted_{parallel}"}}\n'
    )
    (root / "shop" / "apps.py").write_text(EAGER)
    (root / "shop" / "tests.py").write_text(TESTS)

    output = run(root, "manage.py", "test", "--parallel", parallel, "--noinput")

    assert "Ran 8 tests" in output
    assert "OK" in output


def test_whoever_likes_may_close_the_pool(project: Project) -> None:
    root = project()
    run(
        root,
        "-c",
        textwrap.dedent(
            """
            import django; django.setup()
            from django.db import connection
            import pooled_db
            connection.ensure_connection()
            connection.close()
            connection.close_pool()
            assert pooled_db.stats() == {}
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            """
        ),
    )
