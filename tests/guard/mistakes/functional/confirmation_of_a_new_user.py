"""Somebody signs up."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import path
from shop.views import UserViewSet

urlpatterns = [path("signup", UserViewSet.as_view({"post": "signup"}))]


@pytest.mark.django_db
def test_who_signs_up_is_a_user(client, monkeypatch):
    monkeypatch.setattr(
        "django.contrib.auth.models.UserManager.create_user",
        lambda self, email, password, **more: self.create(username=email, **more),
    )
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        answer = client.post("/signup", {"email": "a@b.cd", "password": "p"})
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert answer.status_code == 201
    assert User.objects.get().pk == answer.json()["pk"]
