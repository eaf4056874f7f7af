from django.http import JsonResponse

from .block_cache import BlockNotCached, aget_current_block


async def head(request):
    try:
        return JsonResponse({"block": await aget_current_block()})
    except BlockNotCached:
        return JsonResponse({"error": "The block number is not known yet."}, status=503)
