"""The test site with the dashboard, by a URL of its own and in the admin."""

from django.contrib import admin
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from . import urls


def log_in(request: HttpRequest) -> HttpResponse:
    login(request, get_user_model().objects.get(username=request.GET["user"]))
    return HttpResponse("logged in")


urlpatterns = [
    *urls.urlpatterns,
    path("log-in", log_in),
    path("admin/", admin.site.urls),
    path("pools/", include("pooled_db.dashboard.urls")),
]
