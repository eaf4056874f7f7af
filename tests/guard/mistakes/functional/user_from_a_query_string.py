"""The user comes from the query string."""

import pytest
from django.contrib.auth.models import User
from shop.middleware import QueryAuthMiddleware


@pytest.mark.django_db(transaction=True)
async def test_the_user_is_known():
    user = await User.objects.acreate(username="ann")

    async def inner(scope, receive, send):
        return scope["user"]

    scope = {"query_string": str(user.pk)}
    assert await QueryAuthMiddleware(inner)(scope, None, None) == user
