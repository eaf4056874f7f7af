"""Read notifications are deleted."""

import pytest
from shop import receivers  # noqa: F401
from shop.cleaning import clean
from shop.models import Notification


@pytest.mark.django_db(transaction=True)
async def test_read_notifications_are_deleted():
    await Notification.objects.acreate(recipient="ann", read=True)
    await clean("ann")
    assert not await Notification.objects.aexists()
