"""The newest vessel is answered with its yard."""

import pytest
from django.urls import path
from ninja import NinjaAPI
from shop import api
from shop.models import Vessel, Yard

ninja = NinjaAPI()
ninja.add_router("", api.router)
urlpatterns = [path("", ninja.urls)]


@pytest.mark.django_db(transaction=True)
async def test_the_newest_vessel_has_its_yard(async_client):
    await Vessel.objects.acreate(name="v", yard=await Yard.objects.acreate(name="y"))
    answer = await async_client.get("/last")
    assert answer.json()["yard"]["name"] == "y"
