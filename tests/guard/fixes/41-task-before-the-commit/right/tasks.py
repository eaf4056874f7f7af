import httpx
from celery import shared_task
from django.conf import settings

from .models import Participant, ParticipantData


def send(participant: Participant, text: str) -> None:
    url = f"{settings.GATEWAY_URL}/{participant.platform}/{participant.identifier}"
    httpx.post(url, json={"text": text}, timeout=30).raise_for_status()


@shared_task(ignore_result=True, time_limit=120)
def trigger_message_task(data: dict) -> None:
    participant_data = ParticipantData.objects.select_related("participant").get(
        participant__identifier=data["identifier"],
        participant__platform=data["platform"],
        bot_id=data["bot"],
    )
    send(participant_data.participant, data["prompt"])
