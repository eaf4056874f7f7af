import logging

import requests

from .models import Webhook

logger = logging.getLogger(__name__)

SYNC_TIMEOUT_SECONDS = 18


def _send(webhook: Webhook, payload: dict) -> dict | None:
    try:
        answer = requests.post(webhook.target_url, json=payload, timeout=SYNC_TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        logger.warning("%s did not answer %s: %s", webhook.target_url, webhook.event, error)
        return None
    return answer.json()


def trigger_sync(event: str, payload: dict) -> dict | None:
    webhook = Webhook.objects.filter(event=event, active=True).first()
    return _send(webhook, payload) if webhook else None
