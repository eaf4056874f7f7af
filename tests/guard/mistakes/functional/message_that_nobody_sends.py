"""A saved alarm can be told."""

import pytest
from shop import signals  # noqa: F401
from shop.models import Alarm


@pytest.mark.django_db
def test_an_alarm_is_saved():
    Alarm.objects.create(text="fire")
    assert Alarm.objects.count() == 1
