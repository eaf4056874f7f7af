"""The endpoints in the template's API, without the routes that every service has."""

from offload.api import Api, Json
from offload.json_bodies import BodyParser
from serving_apps.urls import routes

urlpatterns = routes(Api(docs_url=None, openapi_url=None, renderer=Json(), parser=BodyParser()))
