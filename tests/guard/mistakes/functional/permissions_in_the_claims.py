"""A session knows the permissions of its user."""

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from shop.sessions import session_override


@pytest.mark.django_db(transaction=True)
async def test_a_session_has_permissions():
    async def create(user_id, payload):
        return payload

    user = await User.objects.acreate(username="ann")
    original = session_override(SimpleNamespace(create_new_session=create))
    assert await original.create_new_session(user.pk, {}) == {"permissions": []}
