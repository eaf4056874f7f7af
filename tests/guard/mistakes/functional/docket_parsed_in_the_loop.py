"""An upload's entries become rows."""

import pytest
from django.core.files.base import ContentFile
from django.test import AsyncClient
from django.urls import path
from shop import views
from shop.models import DocketEntry, Upload

urlpatterns = [path("reprocess/<int:pk>", views.reprocess)]
PAGE = "<table id='entries'><tr><td>1</td><td>2</td><td>3</td></tr></table>"


@pytest.fixture
def upload(transactional_db):
    upload = Upload(court_id="c")
    upload.file.save("a.html", ContentFile(PAGE))
    return upload


async def test_entries_become_rows(async_client: AsyncClient, upload):
    answer = await async_client.post(f"/reprocess/{upload.pk}")
    assert answer.json() == {"done": True}
    assert await DocketEntry.objects.acount() == 1
