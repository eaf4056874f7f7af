from celery import shared_task

from .models import Photo


@shared_task(time_limit=300)
def make_thumbnail(photo_id: int) -> None:
    """Makes the thumbnail of one photo."""
    Photo.objects.get(pk=photo_id).make_thumbnail()
