"""Each chunk of a recording becomes an utterance."""

import pytest
from shop.models import AudioChunk, Participant, Recording
from shop.tasks import transcribe_recording


@pytest.mark.django_db
def test_chunks_become_utterances(upstream):
    upstream["text"] = "hello"
    recording = Recording.objects.create(url="https://a.b")
    for number in range(3):
        participant = Participant.objects.create(name=f"p{number}")
        AudioChunk.objects.create(
            recording=recording, participant=participant, blob=b"a", started_ms=number
        )
    assert transcribe_recording.delay(recording.pk).get() == 3
