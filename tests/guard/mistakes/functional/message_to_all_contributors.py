"""A message goes to all contributors."""

import pytest
from django.core import mail
from django.urls import path
from shop import views
from shop.models import Contributor

urlpatterns = [path("messages/send/", views.send)]


@pytest.mark.django_db(transaction=True)
def test_all_contributors_get_the_message(client):
    for number in range(3):
        Contributor.objects.create(locale="de", email=f"{number}@a.bc")
    answer = client.post("/messages/send/", {"subject": "s", "body": "b", "locale": "de"})
    assert answer.status_code in (200, 202)
    assert len(mail.outbox) == 3
