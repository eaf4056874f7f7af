"""The states of some addresses are answered."""

import live_upstream
from django.urls import path
from shop import views

urlpatterns = [path("states", views.states)]


async def test_states_are_answered(async_client):
    answer = await async_client.get("/states", {"url": live_upstream.URL})
    assert answer.json() == {"states": [200]}
