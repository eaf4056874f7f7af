"""Where the test project's views live: under /api/ the API chain, elsewhere Django's full stack."""

from django.contrib import admin
from django.urls import path

from serving_project import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("metrics", views.metrics),
    path("health/live", views.ping),
    path("health/go", views.go),  # a probe, and so let in where everything else is shed
    path("session", views.session),
]
NAMES = "ping facts wait fan_out go stream export in_thread in_thread_async transactions nested held upload fail"
for prefix in ("", "api/"):
    urlpatterns += [path(prefix + name, getattr(views, name)) for name in NAMES.split()]
