"""A checkout becomes an order, with the tax that the webhook gives."""

import live_upstream
import pytest
from shop.checkout import complete_checkout
from shop.models import Checkout, Webhook


@pytest.mark.django_db
def test_a_checkout_becomes_an_order(upstream):
    upstream["tax"] = 2
    Webhook.objects.create(event="checkout_calculate_taxes", target_url=live_upstream.URL)
    checkout = Checkout.objects.create(total=10)
    assert complete_checkout(checkout.pk).total == 12
