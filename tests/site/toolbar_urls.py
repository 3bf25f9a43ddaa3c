"""The test site with django-debug-toolbar, which it shows on one page."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from . import urls
from .views import ask


def page(request: HttpRequest) -> HttpResponse:
    """Execute the statements that are given, and be a page that a toolbar fits in."""
    for sql in request.GET.getlist("sql"):
        ask(sql)
    return HttpResponse("<html><body>page</body></html>")


urlpatterns = [
    *urls.urlpatterns,
    path("page", page),
    path("__debug__/", include("debug_toolbar.urls")),
]
