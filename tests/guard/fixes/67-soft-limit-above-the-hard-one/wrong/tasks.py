from celery import shared_task
from django.apps import apps

from .base import ServiceTask
from .models import Vpn


@shared_task(base=ServiceTask)
def invalidate_vpn_cache(organization_id: int) -> None:
    for vpn in Vpn.objects.filter(organization_id=organization_id).only("pk").iterator():
        vpn.invalidate()


@shared_task(base=ServiceTask, soft_time_limit=7200)
def invalidate_related(model_name: str, field: str, pk: int, method: str) -> None:
    model = apps.get_model("vpn", model_name)
    for instance in model.objects.filter(**{field: pk}).iterator():
        getattr(instance, method)()
