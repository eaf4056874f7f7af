from io import BytesIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models
from PIL import Image, ImageOps

SIZE = (300, 300)


class Album(models.Model):
    title = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)


class Photo(models.Model):
    album = models.ForeignKey(Album, on_delete=models.CASCADE, related_name="photos")
    file = models.ImageField(upload_to="photos/")

    @property
    def thumbnail_name(self) -> str:
        return f"thumbnails/{self.pk}.jpg"

    def make_thumbnail(self) -> None:
        with self.file.open("rb") as handle, Image.open(handle) as image:
            small = ImageOps.fit(ImageOps.exif_transpose(image), SIZE, Image.Resampling.LANCZOS)
            out = BytesIO()
            small.convert("RGB").save(out, "JPEG", quality=80)
        default_storage.save(self.thumbnail_name, ContentFile(out.getvalue()))

    @property
    def thumbnail_url(self) -> str:
        if not default_storage.exists(self.thumbnail_name):
            self.make_thumbnail()
        return default_storage.url(self.thumbnail_name)
