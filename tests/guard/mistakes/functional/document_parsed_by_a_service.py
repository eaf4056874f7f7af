"""An upload is parsed and stored, and its length is told."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import path
from shop import views
from shop.models import Conversation

urlpatterns = [path("ask/<int:pk>", views.ask)]


@pytest.mark.django_db(transaction=True)
async def test_the_stream_tells_the_length(async_client, upstream):
    upstream["data"] = [{"content": "page"}]
    conversation = await Conversation.objects.acreate(title="t", collection_id="c")
    file = SimpleUploadedFile("a.txt", b"page", "text/plain")
    answer = await async_client.post(f"/ask/{conversation.pk}", {"file": file})
    if answer.streaming:
        text = b"".join([chunk async for chunk in answer]).decode()
    else:
        text = answer.content.decode()
    assert "data: 4" in text
