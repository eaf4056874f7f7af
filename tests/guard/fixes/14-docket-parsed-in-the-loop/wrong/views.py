from django.http import JsonResponse
from django.views.decorators.http import require_POST

from .models import Upload
from .processing import process_docket


@require_POST
async def reprocess(request, pk: int):
    if not await Upload.objects.filter(pk=pk).aexists():
        return JsonResponse({"error": "No such upload."}, status=404)
    done = await process_docket(pk)
    return JsonResponse({"done": done is not None})
