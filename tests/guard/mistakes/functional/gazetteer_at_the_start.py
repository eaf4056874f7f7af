"""Places are found by name."""

from django.urls import path
from shop import views

urlpatterns = [path("places/", views.search)]


def test_places_are_found(client, upstream):
    upstream["list"] = ["Oslo"]
    assert client.get("/places/", {"name": "Os"}).json() == {"places": ["Oslo"]}
