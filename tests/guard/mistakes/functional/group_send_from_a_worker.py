"""A saved row is told to the group of its table."""

import pytest
from shop.models import Row


@pytest.mark.django_db(transaction=True)
def test_a_saved_row_is_told(redis_layer):
    Row.objects.create(table_id=1)
    Row.objects.create(table_id=1)
