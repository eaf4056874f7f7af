"""Photos come in pages."""

import pytest
from django.urls import path
from shop import views
from shop.models import Photo

urlpatterns = [path("photos/", views.photos)]


@pytest.mark.django_db(transaction=True)
async def test_photos_come_in_pages(async_client):
    await Photo.objects.acreate(title="a")
    answer = await async_client.get("/photos/")
    assert answer.json()["titles"] == ["a"]
