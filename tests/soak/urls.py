from django.urls import path

from tests.site.views import state

from . import views

urlpatterns = [
    path("exempt/state", state),
    path("look", views.look),
    path("transfer", views.transfer),
]
