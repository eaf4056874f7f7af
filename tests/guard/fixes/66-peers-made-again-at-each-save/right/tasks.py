import requests
from celery import shared_task

from .models import Vpn


@shared_task(soft_time_limit=120)
def trigger_endpoint(vpn_id: int) -> None:
    vpn = Vpn.objects.get(pk=vpn_id)
    body = {"name": vpn.name, "peers": vpn.get_peers()}
    requests.post(vpn.endpoint, json=body, timeout=30).raise_for_status()
