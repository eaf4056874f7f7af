"""A song is stored, and its digest is answered."""

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import path
from ninja import NinjaAPI
from shop import api, jukebox

ninja = NinjaAPI()
ninja.add_router("", api.router)
urlpatterns = [path("", ninja.urls)]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    store = jukebox.store
    monkeypatch.setattr(
        jukebox, "store", lambda source, path: store(source, tmp_path / path.rpartition("/")[2])
    )


async def test_a_song_is_stored(async_client):
    file = SimpleUploadedFile("a.mp3", b"song")
    answer = await async_client.post("/songs", {"file": file})
    assert answer.json() == {"md5": hashlib.md5(b"song").hexdigest()}
