import httpx
from django.conf import settings


def transcribe(blob: bytes) -> str:
    answer = httpx.post(settings.SPEECH_URL, content=blob, timeout=60)
    answer.raise_for_status()
    return answer.json()["text"]
