from celery import shared_task
from django.db import transaction

from .models import Recording, Utterance

BATCH = 20
PAUSE_SECONDS = 1


@shared_task(bind=True, soft_time_limit=3600)
def transcribe_recording(self, recording_id: int) -> int:
    recording = Recording.objects.get(pk=recording_id)
    utterances = create_utterances(recording)
    for position, utterance in enumerate(utterances):
        transcribe_utterance.apply_async(
            args=[utterance.pk], countdown=(position // BATCH) * PAUSE_SECONDS
        )
    return len(utterances)


def create_utterances(recording: Recording) -> list[Utterance]:
    utterances = []
    with transaction.atomic():
        for chunk in recording.audio_chunks.defer("blob").order_by("started_ms"):
            utterance = Utterance.objects.create(
                recording=recording,
                participant=chunk.participant,
                chunk=chunk,
                started_ms=chunk.started_ms,
            )
            utterances.append(utterance)
    return utterances


@shared_task(time_limit=300)
def transcribe_utterance(utterance_id: int) -> None:
    from .provider import transcribe

    utterance = Utterance.objects.select_related("chunk").get(pk=utterance_id)
    utterance.text = transcribe(bytes(utterance.chunk.blob))
    utterance.save(update_fields=["text"])
