"""The endpoints in the frame that the template gives every API."""

from offload.api import make_api
from serving_apps.urls import routes

urlpatterns = routes(make_api("Peers"))
