"""A message is sent to a participant."""

import pytest
from django.urls import path
from shop.models import ParticipantData
from shop.views import TriggerMessageView

urlpatterns = [path("trigger", TriggerMessageView.as_view())]


@pytest.mark.django_db(transaction=True)
def test_a_message_is_sent(client, upstream):
    wanted = {"identifier": "ann", "platform": "web", "bot": 1, "prompt": "hi"}
    answer = client.post("/trigger", wanted)
    assert answer.json()["created"]
    assert ParticipantData.objects.count() == 1
