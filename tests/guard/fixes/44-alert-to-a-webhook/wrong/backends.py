import json

import requests
from celery import shared_task

from .models import ServiceConfig


def _remember(config_id: int, error: str | None) -> None:
    ServiceConfig.objects.filter(pk=config_id).update(last_error=error or "")


def _payload(title: str, body: str) -> str:
    return json.dumps(
        {"blocks": [{"type": "header", "text": title}, {"type": "section", "text": body}]}
    )


@shared_task
def chat_send_test(webhook_url: str, project: str, config_id: int) -> None:
    _post(webhook_url, _payload("TEST", f"A test message of {project}"), config_id)


@shared_task
def chat_send_alert(webhook_url: str, title: str, issue_url: str, config_id: int) -> None:
    _post(webhook_url, _payload(title, issue_url), config_id)


def _post(webhook_url: str, data: str, config_id: int) -> None:
    headers = {"Content-Type": "application/json"}
    try:
        result = requests.post(webhook_url, data=data, headers=headers)
        result.raise_for_status()
    except requests.RequestException as error:
        _remember(config_id, str(error))
    else:
        _remember(config_id, None)
