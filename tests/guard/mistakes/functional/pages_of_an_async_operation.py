"""Stations come in pages."""

import pytest
from django.urls import path
from shop.api import api
from shop.models import Station

urlpatterns = [path("", api.urls)]


@pytest.mark.django_db(transaction=True)
async def test_stations_come_in_pages():
    from shop.api import stations

    await Station.objects.acreate(name="a")
    page = await stations(None)
    assert [row.name for row in page["items"]] == ["a"]
