from django.contrib import admin
from django.urls import include, path

from demo import urls
from pooled_db.metrics import prometheus

urlpatterns = [
    *urls.urlpatterns,
    path("admin/", admin.site.urls),
    path("metrics", prometheus),
    path("pools/", include("pooled_db.dashboard.urls")),
]
