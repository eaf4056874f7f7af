"""Each line of a file becomes an observation."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import path
from shop import views
from shop.models import Observation

urlpatterns = [path("products/<slug:product>/import/", views.upload)]


@pytest.mark.django_db
def test_lines_become_observations(client):
    file = SimpleUploadedFile("a.txt", b"one\ntwo\n")
    answer = client.post("/products/p/import/", {"file": file})
    assert answer.json() == {"observations": 2}
    assert Observation.objects.count() == 2
