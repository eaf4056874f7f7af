from django.http import JsonResponse

from .covers import cover_thread
from .models import Comic


def rebuild_covers(request):
    pks = list(Comic.objects.values_list("pk", flat=True))
    cover_thread.queue.put(pks, timeout=5)
    return JsonResponse({"queued": len(pks)})
