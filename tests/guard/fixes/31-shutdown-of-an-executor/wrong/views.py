from django.http import JsonResponse

from .contexts import run
from .models import Order


def count_open() -> int:
    return Order.objects.filter(open=True).count()


async def open_orders(request):
    return JsonResponse({"open": await run(count_open)})
