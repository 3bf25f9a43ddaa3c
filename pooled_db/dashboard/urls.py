"""The dashboard by a URL of its own: ``path("pools/", include(...))``."""

from django.urls import path

from . import views

app_name = "pooled_db_dashboard"
urlpatterns = [
    path("", views.page, name="page"),
    path("data", views.data),
    path("server", views.server),
    path("renew", views.renew),
]
