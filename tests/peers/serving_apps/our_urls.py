"""The endpoints in the API of the template, without the routes that it gives every service."""

from offload.api import Api, Json
from serving_apps.urls import routes

urlpatterns = routes(Api(docs_url=None, openapi_url=None, renderer=Json()))
