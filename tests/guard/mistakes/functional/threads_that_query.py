"""The inventory is refreshed after the answer."""

import pytest
from django.urls import path
from shop.models import Inventory
from shop.views import RefreshView
from waiting import wait_until

urlpatterns = [path("refresh", RefreshView.as_view())]


@pytest.mark.django_db(transaction=True)
def test_the_inventory_is_refreshed(client):
    Inventory.objects.create(name=" a ")
    assert client.post("/refresh").status_code == 202
    wait_until(lambda: Inventory.objects.filter(name="a").exists(), "the refresh", seconds=60)
