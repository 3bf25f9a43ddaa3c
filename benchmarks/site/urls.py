from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.site.items import Item


def slow_query(request: HttpRequest) -> HttpResponse:
    """Hold one connection for a fixed time, as a slow query does, at no cost in CPU."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(%s)", [settings.BENCH_QUERY_SECONDS])
    return HttpResponse("ok", content_type="text/plain")


def items(request: HttpRequest, queries: int) -> HttpResponse:
    """Look up so many rows by their keys, each by a query of its own."""
    names = [Item.objects.get(pk=key).name for key in range(queries)]
    return HttpResponse(" ".join(names), content_type="text/plain")


urlpatterns = [
    path("", slow_query),
    path("first", slow_query),
    path("items/<int:queries>", items),
]
