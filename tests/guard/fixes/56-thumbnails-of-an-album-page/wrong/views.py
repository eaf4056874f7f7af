from django.shortcuts import get_object_or_404, render

from .models import Album


def album_page(request, slug: str):
    album = get_object_or_404(Album, slug=slug)
    photos = [{"id": photo.pk, "url": photo.thumbnail_url} for photo in album.photos.all()]
    return render(request, "photos/album.html", {"album": album, "photos": photos})
