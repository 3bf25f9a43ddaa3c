"""The dashboard among the models of Django's admin, without a server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import path, resolve, reverse

if TYPE_CHECKING:
    from pooled_db.dashboard.admin import PoolsAdmin


@pytest.fixture(autouse=True)
def _installed(settings: Any) -> None:
    settings.INSTALLED_APPS = [
        *settings.INSTALLED_APPS,
        "django.contrib.admin",
        "pooled_db.dashboard",
    ]


@pytest.fixture
def admin() -> PoolsAdmin:
    from pooled_db.dashboard.admin import PoolsAdmin
    from pooled_db.dashboard.models import Pools

    site: Any = SimpleNamespace(each_context=lambda request: {"site_url": request.path})
    return PoolsAdmin(Pools, site)


def of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/admin/pooled_db_dashboard/pools/")
    request.session = SessionBase()
    request.user = user
    return request


def someone(*, is_staff: bool = True) -> Any:
    """Somebody who has all permissions."""
    return SimpleNamespace(
        is_active=True,
        is_staff=is_staff,
        has_perm=lambda *names: True,
        has_module_perms=lambda label: True,
    )


def test_a_subclass_can_give_the_page_a_context_of_its_own(admin: PoolsAdmin) -> None:
    """As it can with any other of the admin's lists."""
    for given, title in ((None, "Connection pools"), ({"title": "Mine"}, "Mine")):
        answer: Any = admin.changelist_view(of(someone()), given)
        assert answer.context_data["title"] == title
        assert answer.context_data["site_url"] == "/admin/pooled_db_dashboard/pools/"
        assert answer.cookies["pooled_db_dashboard"]["max-age"] == 3600


def test_the_page_is_shown_to_nobody_who_may_not_see_it(admin: PoolsAdmin) -> None:
    with pytest.raises(PermissionDenied):
        admin.changelist_view(of(someone(is_staff=False)))


def test_all_that_the_page_asks_for_is_beside_it(settings: Any) -> None:
    from django.contrib.admin import AdminSite

    from pooled_db.dashboard import views
    from pooled_db.dashboard.admin import PoolsAdmin
    from pooled_db.dashboard.models import Pools

    site = AdminSite()
    site.register(Pools, PoolsAdmin)
    settings.ROOT_URLCONF = (path("admin/", site.urls),)
    page = reverse("admin:pooled_db_dashboard_pools_changelist")
    assert page == "/admin/pooled_db_dashboard/pools/"
    for name, view in (
        ("alone", views.page),
        ("data", views.data),
        ("server", views.server),
        ("renew", views.renew),
    ):
        assert resolve(page + name).func is view
    # Whoever is not known is sent to log in, as everywhere in the admin.
    show = resolve(page).func
    assert show(of(AnonymousUser()))["Location"] == f"/admin/login/?next={page}"
    assert show(of(someone())).status_code == 200


def test_the_page_stands_in_the_admins_frame(admin: PoolsAdmin, settings: Any) -> None:
    """Which looks at the request: for the user, and for a token to log out with."""
    shown = "{{ request.path }} {{ opts.verbose_name_plural }}: {{ title }}"
    loader = "django.template.loaders.locmem.Loader"
    options = {
        "context_processors": ["django.template.context_processors.request"],
        "loaders": [(loader, {"pooled_db/dashboard/in_admin.html": shown})],
    }
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "OPTIONS": options}]
    answer: Any = admin.changelist_view(of(someone()))
    assert answer.render().content.decode() == (
        "/admin/pooled_db_dashboard/pools/ connection pools: Connection pools"
    )


def test_nobody_can_change_anything_whatever_they_may(admin: PoolsAdmin) -> None:
    assert admin.get_model_perms(of(someone())) == {
        **dict.fromkeys(("add", "change", "delete"), False),
        "view": True,
    }


def test_it_is_found_under_the_documented_names() -> None:
    config = apps.get_app_config("pooled_db_dashboard")
    assert config.verbose_name == "Database connections"
    (model,) = config.get_models()
    # The permission is "Can view connection pool".
    assert model._meta.default_permissions == ("view",)
    assert model._meta.model_name == "pools"
    assert model._meta.verbose_name == "connection pool"
    assert model._meta.verbose_name_plural == "connection pools"


def test_there_is_no_table_and_nobody_asks_for_one(admin: PoolsAdmin) -> None:
    """No test may use a database here."""
    from pooled_db.dashboard.models import Pools

    assert not Pools._meta.can_migrate(connections["default"])
    assert [*Pools.objects.all(), *Pools._base_manager.all()] == []
