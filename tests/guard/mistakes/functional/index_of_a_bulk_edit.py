"""The correspondent of some documents is set."""

import pytest
from django.contrib.auth.models import User
from django.urls import path
from shop.models import Document
from shop.views import BulkEditView

urlpatterns = [path("edit", BulkEditView.as_view())]


@pytest.mark.django_db(transaction=True)
def test_the_correspondent_is_set(client):
    client.force_login(User.objects.create_user("ann"))
    document = Document.objects.create(title="t")
    wanted = {"documents": [document.pk], "method": "set_correspondent"}
    wanted["parameters"] = {"correspondent": "bob"}
    answer = client.post("/edit", wanted, content_type="application/json")
    assert answer.json() == {"result": "OK"}
    document.refresh_from_db()
    assert document.indexed_text.startswith("t bob")
