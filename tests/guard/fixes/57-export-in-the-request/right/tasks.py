from celery import shared_task
from django.core.files.base import ContentFile

from .exports import export_csv
from .models import CachedFile


@shared_task(time_limit=1800)
def run_csv_export(file_id: int) -> None:
    cached = CachedFile.objects.select_related("event").get(pk=file_id)
    data = export_csv(cached.event).encode()
    cached.file.save(f"{cached.event.slug}.csv", ContentFile(data), save=False)
    cached.ready = True
    cached.save()
