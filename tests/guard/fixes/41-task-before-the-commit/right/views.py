from django.db import transaction
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Participant, ParticipantData
from .serializers import TriggerSerializer
from .tasks import trigger_message_task


class TriggerMessageView(APIView):
    @transaction.atomic
    def post(self, request):
        serializer = TriggerSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data

        participant, created = Participant.objects.get_or_create(
            identifier=data["identifier"], platform=data["platform"]
        )
        participant_data, _ = ParticipantData.objects.get_or_create(
            participant=participant, bot_id=data["bot"]
        )
        if error := self._not_ready(participant_data):
            return error

        transaction.on_commit(lambda: trigger_message_task.delay(data))
        return Response(
            {"participant": participant.pk, "created": created}, status=status.HTTP_200_OK
        )

    @staticmethod
    def _not_ready(participant_data: ParticipantData) -> Response | None:
        if participant_data.consented:
            return None
        return Response({"detail": "No consent yet."}, status=status.HTTP_400_BAD_REQUEST)
