"""Where the test project's views live."""

from django.contrib import admin
from django.urls import path

from serving_project import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/ping", views.ping),
    path("api/stream", views.stream),
    path("ping", views.ping),
]
