"""A document of the own team is answered."""

import pytest
from django.contrib.auth.models import User
from django.urls import path
from shop.models import Document, Team
from shop.views import DocumentView

urlpatterns = [path("documents/<int:pk>", DocumentView.as_view())]


@pytest.mark.django_db(transaction=True)
async def test_a_document_is_answered(async_client):
    user = await User.objects.acreate(username="ann")
    team = await Team.objects.acreate()
    await team.members.aadd(user)
    document = await Document.objects.acreate(team=team, text="t")
    await async_client.aforce_login(user)
    answer = await async_client.get(f"/documents/{document.pk}")
    assert answer.json() == {"id": document.pk, "text": "t"}
