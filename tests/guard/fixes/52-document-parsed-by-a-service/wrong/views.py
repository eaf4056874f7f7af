from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.shortcuts import aget_object_or_404

from .agent import AgentService, Upload
from .models import Conversation


@sync_to_async
def uploads_of(request) -> list[Upload]:
    files = request.FILES.getlist("file")
    return [Upload(file.name, file.content_type, file.read()) for file in files]


async def ask(request, pk: int):
    conversation = await aget_object_or_404(Conversation, pk=pk)
    uploads = await uploads_of(request)
    return StreamingHttpResponse(
        AgentService(conversation).run(uploads), content_type="text/event-stream"
    )
