from .models import Checkout
from .webhooks import trigger_sync


def fetch_taxes(checkout: Checkout) -> int:
    payload = {"checkout": checkout.pk, "total": checkout.total}
    answer = trigger_sync("checkout_calculate_taxes", payload)
    return int(answer["tax"]) if answer else 0
