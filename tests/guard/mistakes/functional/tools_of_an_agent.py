"""The tool lists the notes."""

import pytest
from shop.models import Note
from shop.tools import notes_tool


@pytest.mark.django_db(transaction=True)
async def test_notes_are_listed():
    await Note.objects.acreate(title="a")
    assert await notes_tool() == ["a"]
