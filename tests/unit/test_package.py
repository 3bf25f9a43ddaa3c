"""What is known of the package once it is installed."""

from __future__ import annotations

import pkgutil
import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
from django.utils.module_loading import import_string

import pooled_db


def test_no_link_of_the_description_leads_into_the_repository() -> None:
    description = str(metadata("pooled-db").json["description"])

    assert description.startswith("# pooled_db")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", description) == []


def test_the_public_names_are_these() -> None:
    assert sorted(pooled_db.__all__) == [
        "PoolStats",
        "PoolTimeout",
        "ServerUnavailable",
        "__version__",
        "arelease",
        "release",
        "stats",
    ]
    top = {
        module.name
        for module in pkgutil.iter_modules(pooled_db.__path__)
        if not module.ispkg
    }
    assert top == {
        "__main__",
        *("apps", "asgi", "celery_fixup", "checks", "exceptions", "fork"),
        *("debug_toolbar", "metrics", "middleware", "model_checks", "placement"),
        *("opentelemetry", "pools", "signals", "state", "workers"),
        "wsgi",
    }
    rooms = {
        module.name
        for module in pkgutil.iter_modules(pooled_db.__path__)
        if module.ispkg
    }
    assert rooms == {
        *("backends", "conf", "dashboard", "driver", "management", "pool", "request"),
        "watching",
    }


@pytest.mark.parametrize(
    "name",
    [
        "pooled_db.asgi.get_asgi_application",
        "pooled_db.wsgi.get_wsgi_application",
        "pooled_db.middleware.PooledConnectionMiddleware",
        "pooled_db.backends.mysql.base.DatabaseWrapper",
        "pooled_db.backends.mysql.base.PooledMixin",
    ],
)
def test_what_settings_and_code_name_is_there(name: str) -> None:
    assert import_string(name) is not None


def test_no_module_has_grown_to_more_than_400_lines() -> None:
    package = Path(pooled_db.__file__).parent
    lengths = {
        str(path.relative_to(package)): len(path.read_text("utf-8").splitlines())
        for path in package.rglob("*.py")
    }

    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
