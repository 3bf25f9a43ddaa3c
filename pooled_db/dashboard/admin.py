"""The dashboard in the admin's frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from . import access, views
from .models import Pools

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Pools]
else:  # Django's own cannot be subscripted
    ModelAdmin = admin.ModelAdmin


@admin.register(Pools)
class PoolsAdmin(ModelAdmin):
    """Shows the dashboard where other models have their list."""

    def get_urls(self) -> list[URLPattern]:
        changelist = self.admin_site.admin_view(self.changelist_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", changelist, name=f"{name}_changelist"),
            path("alone", views.page),
            path("data", views.data),
            path("server", views.server),
            path("renew", views.renew),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not access.is_allowed_by_session(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Connection pools",
            "opts": self.opts,
            **(extra_context or {}),
        }
        response = TemplateResponse(
            request, "pooled_db/dashboard/in_admin.html", context
        )
        access.remember(request, response)
        return response

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
