"""The states of the own runs are streamed."""

import pytest
from django.contrib.auth.models import User
from django.urls import path
from shop.models import Run
from shop.views import RunStreamView

urlpatterns = [path("runs", RunStreamView.as_view())]


@pytest.mark.django_db(transaction=True)
async def test_states_are_streamed(async_client, monkeypatch):
    monkeypatch.setattr("shop.views.POLL_SECONDS", 0.01)
    user = await User.objects.acreate(username="ann")
    run = await Run.objects.acreate(owner=user, repo_id="r", status="done")
    await async_client.aforce_login(user)
    answer = await async_client.get(f"/runs?ids={run.pk}")
    chunks = [chunk async for chunk in answer] if answer.streaming else [answer.content]
    assert b"done" in b"".join(chunks)
