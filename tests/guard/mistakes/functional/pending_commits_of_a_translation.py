"""Pending changes are committed."""

import pytest
from django.core.management import call_command
from shop.models import Change, Translation


@pytest.mark.django_db
def test_pending_changes_are_committed():
    Translation.objects.create(code="de")
    Change.objects.create()
    call_command("commit_pending")
    assert not Change.objects.filter(pending=True).exists()
