"""A served site with the dashboard, and the people who look at it."""

from __future__ import annotations

import http.client
import json
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from pooled_db.dashboard.access import COOKIE
from tests.harness.server import Server
from tests.sites import Answer, Site, make_tables, run_python

#: May see the pools; staff who may not; those who might, but are no staff.
SEER, STAFF, GUEST = "seer", "staff", "guest"
PAGES = ["/pools/", "/admin/pooled_db_dashboard/pools/"]

SETTINGS: dict[str, Any] = {
    "ROOT_URLCONF": "tests.site.dashboard_urls",
    "STATIC_URL": "/static/",
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "pooled_db",
        "pooled_db.dashboard",
        "tests.site",
    ],
    "MIDDLEWARE": [
        "pooled_db.middleware.PooledConnectionMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
}
_PEOPLE = f"""
from django.contrib.auth.models import Permission, User
permission = Permission.objects.get(
    codename="view_pools", content_type__app_label="pooled_db_dashboard"
)
User.objects.all().delete()  # a module's tests may be run in two turns
for name, is_staff, may in (
    ({SEER!r}, True, True), ({STAFF!r}, True, False), ({GUEST!r}, False, True)
):
    user = User.objects.create_user(name, is_staff=is_staff)
    if may:
        user.user_permissions.add(permission)
from django.db import connection
connection.close()
"""


def settings(directory: Path, **others: Any) -> dict[str, Any]:
    """Settings of a site whose processes keep their state in *directory*."""
    exempt = [r"^exempt/", r"^pools/", r"^admin/pooled_db_dashboard/pools/"]
    state = {"EXEMPT": exempt, "STATE_DIR": str(directory)}
    return {**SETTINGS, "POOLED_DB": state, **others}


def make_people(server: Server) -> dict[str, Any]:
    """Make a database with them."""
    database = server.database("pooled_dashboard")
    make_tables(database, **SETTINGS)
    run_python(_PEOPLE, database, **SETTINGS)
    return database


class Browser:
    """Keeps the cookies that *site* sets, as a browser does."""

    def __init__(self, site: Site, user: str | None = None) -> None:
        self.site = site
        self.cookies: dict[str, str] = {}
        if user is not None:
            assert self.get(f"/log-in?user={user}").body == "logged in"

    def get(self, path: str) -> Answer:
        server = self.site.server
        client = http.client.HTTPConnection(server.host, server.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            client.request("GET", path, headers={"Cookie": cookies} if cookies else {})
            response = client.getresponse()
            body = response.read().decode()
        finally:
            client.close()
        self.set: SimpleCookie = SimpleCookie()
        for line in response.msg.get_all("Set-Cookie", []):
            self.set.load(line)
        for name, morsel in self.set.items():
            self.cookies[name] = morsel.value
        self.cookies = {name: value for name, value in self.cookies.items() if value}
        return Answer(response.status, dict(response.getheaders()), body)

    def told(self, path: str = "/pools/data") -> dict[str, Any]:
        answer = self.get(path)
        assert answer.status == 200, answer
        told: dict[str, Any] = json.loads(answer.body)
        return told

    @property
    def remembered(self) -> bool:
        return COOKIE in self.cookies
