"""An identity is saved, and the integration is told of it."""

import pytest
from django.urls import path
from shop import integrations, views
from shop.models import SegmentConfiguration

urlpatterns = [path("identify", views.IdentifyView.as_view())]


@pytest.mark.django_db
def test_an_identity_is_saved(client, monkeypatch):
    told = []
    monkeypatch.setattr(
        integrations.SegmentIntegration, "identify", lambda _, data: told.append(data)
    )
    SegmentConfiguration.objects.create(environment_id=1, api_key="k")
    answer = client.post(
        "/identify", {"environment_id": 1, "identifier": "ann"}, content_type="application/json"
    )
    assert answer.json() == {"identifier": "ann"}
    integrations.background.shutdown()
    assert told[0]["user_id"] == "ann"
