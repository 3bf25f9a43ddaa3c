"""The ticket sale, and a page that says which node it was read from."""

import dataclasses

from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

import pooled_db


def node(request: HttpRequest) -> HttpResponse:
    with connections["readers"].cursor() as cursor:
        cursor.execute("SELECT @@server_id, @@port")
        (_, port) = cursor.fetchone()
    return HttpResponse(str(port))


def stats(request: HttpRequest) -> HttpResponse:
    told = pooled_db.stats()
    return JsonResponse({k: dataclasses.asdict(v) for k, v in told.items()})


urlpatterns = [
    path("node", node),
    path("stats", stats),
    path("", include("demo.urls")),
]
