"""A file is mirrored."""

import live_upstream
import pytest
from shop.models import Artifact
from shop.tasks import mirror


@pytest.mark.django_db
def test_a_file_is_mirrored(upstream):
    pk = mirror.delay(live_upstream.URL).get()
    assert Artifact.objects.get(pk=pk).sha256
