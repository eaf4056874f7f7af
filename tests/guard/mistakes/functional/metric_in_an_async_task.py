"""The time of a task becomes a metric."""

import pytest
from shop.models import SimpleMetric
from shop.worker import UploadTask


@pytest.mark.django_db(transaction=True)
async def test_a_metric_is_saved():
    await UploadTask().run_async("c")
    assert await SimpleMetric.objects.acount() == 1
