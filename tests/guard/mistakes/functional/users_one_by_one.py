"""People are listed with their cities."""

import pytest
from django.urls import path
from shop.models import City, Person
from shop.views import PersonViewSet

urlpatterns = [path("people", PersonViewSet.as_view({"get": "list"}))]


@pytest.mark.django_db(transaction=True)
async def test_people_have_cities(async_client):
    await Person.objects.acreate(name="a", city=await City.objects.acreate(name="c"))
    answer = await async_client.get("/people")
    assert answer.json() == [{"name": "a", "city_name": "c"}]
