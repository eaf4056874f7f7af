from celery import shared_task

from .download import HttpDownloader
from .models import Artifact


@shared_task(acks_late=True, time_limit=600)
def mirror(url: str) -> int:
    result = HttpDownloader(url).fetch()
    artifact, _ = Artifact.objects.get_or_create(
        sha256=result.sha256, defaults={"path": result.path}
    )
    return artifact.pk
