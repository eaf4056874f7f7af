from django.http import HttpResponseBadRequest, JsonResponse
from django.views import View

from .models import SpeechOption
from .providers import client_of

LARGEST_BYTES = 10 * 1024 * 1024


class TranscribeView(View):
    def post(self, request):
        audio = request.FILES.get("file")
        if audio is None or audio.size > LARGEST_BYTES:
            return HttpResponseBadRequest("Send one audio file of at most 10 MB.")
        option = SpeechOption.objects.first()
        client = client_of(option) if option else None
        if client is None:
            return JsonResponse({"error": "No speech model is configured."}, status=501)
        heard = client.audio.transcriptions.create(
            model=option.model_name, file=(audio.name, audio.read())
        )
        return JsonResponse({"text": heard.text})
