from celery import shared_task

from .locks import locked_task
from .models import Repository
from .platform import members_of


@shared_task(ignore_result=True)
@locked_task(key="{repository_id}")
def sync_members(repository_id: int) -> None:
    repository = Repository.objects.get(pk=repository_id)
    repository.members = members_of(repository.slug)
    repository.save(update_fields=["members"])
