from django.http import HttpRequest, HttpResponse
from django.urls import path

from demo.tickets import views


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [
    path("", views.event_list, name="event_list"),
    path("buy/<int:event_id>", views.buy, name="buy"),
    path("api/buy/<int:event_id>", views.api_buy, name="api_buy"),
    path("report", views.report, name="report"),
    path("healthz", healthz),
]
