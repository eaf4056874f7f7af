"""The endpoints in django-ninja as it comes."""

from ninja import NinjaAPI

from serving_apps.urls import routes

urlpatterns = routes(NinjaAPI(docs_url=None, openapi_url=None))
