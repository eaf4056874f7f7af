from django.db import transaction

from .models import Checkout, Order
from .taxes import fetch_taxes


class CheckoutError(Exception):
    pass


def _create_order(checkout: Checkout, tax: int) -> Order:
    return Order.objects.create(
        checkout_id=checkout.pk, total=checkout.total + tax, tax=tax, status="unfulfilled"
    )


def complete_checkout(checkout_id: int) -> Order:
    seen = Checkout.objects.get(pk=checkout_id)
    tax = fetch_taxes(seen)
    with transaction.atomic():
        checkout = Checkout.objects.select_for_update().get(pk=checkout_id)
        if checkout.completed:
            raise CheckoutError("This checkout is complete already.")
        if checkout.total != seen.total:
            raise CheckoutError("The checkout was changed; please try again.")
        order = _create_order(checkout, tax)
        checkout.completed = True
        checkout.save(update_fields=["completed"])
    return order
