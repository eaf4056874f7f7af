"""The URLs of the service."""

from django.contrib import admin
from django.urls import path
{%- if cookiecutter.example == "no" %}
from django.views.generic import RedirectView
{%- endif %}

from offload import views
from offload.api import make_api
{%- if cookiecutter.example == "yes" %}

from {{ cookiecutter.package }}.portfolio.api import router as portfolio
from {{ cookiecutter.package }}.portfolio.live import router as live
from {{ cookiecutter.package }}.portfolio.page import page
{%- endif %}

api = make_api(
    title="{{ cookiecutter.project_name }}",
    description="{{ cookiecutter.description }}",
)
{%- if cookiecutter.example == "yes" %}
api.add_router("/portfolio", portfolio)
api.add_router("/portfolio/live", live)
{%- endif %}

urlpatterns = [
    path("api/ping", views.ping),
    # Before ninja's own answer, which is a page of HTML under DEBUG.
    path("api/", views.no_such_address),
    path("api/", api.urls),
    path("health/live", views.live),
    path("health/ready", views.ready),
    path("health/dependencies", views.dependencies),
    path("metrics", views.metrics),
    path("admin/", admin.site.urls),
{%- if cookiecutter.example == "yes" %}
    path("", page),
{%- else %}
    path("", RedirectView.as_view(pattern_name="api-1.0.0:openapi-view")),
{%- endif %}
    # The last one: a path of the API below it would never be reached.
    path("api/<path:address>", views.no_such_address),
]

handler404 = views.not_found
handler500 = views.server_error
