"""A cover becomes a thumbnail."""

import pytest
from library.covers import CoverThread
from library.models import Comic
from PIL import Image


@pytest.mark.django_db
def test_a_cover_becomes_a_thumbnail(tmp_path, settings):
    settings.COVER_ROOT, settings.COVER_WORKERS = tmp_path, 1
    Image.new("RGB", (400, 600)).save(tmp_path / "cover.png")
    comic = Comic.objects.create(name="c", cover_path=str(tmp_path / "cover.png"))
    thread = CoverThread()
    thread.process_item([comic.pk])
    if getattr(thread, "_pool", None):
        thread._pool.shutdown()
    assert (tmp_path / f"{comic.pk}.webp").exists()
