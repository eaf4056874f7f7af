import openai

from .models import SpeechOption


class Shared:
    """What the process keeps between requests."""

    speech_client: openai.OpenAI | None = None


shared = Shared()


def client_of(option: SpeechOption) -> openai.OpenAI | None:
    if option.api_key:
        return openai.OpenAI(api_key=option.api_key, base_url=option.base_url or None)
    return shared.speech_client
