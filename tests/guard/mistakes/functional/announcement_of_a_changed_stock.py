"""A saved article is announced to its group."""

import asyncio

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from shop.models import Article


@pytest.mark.django_db(transaction=True)
def test_a_saved_article_is_announced():
    layer = get_channel_layer()
    async_to_sync(layer.group_add)("stock", "me")
    article = Article.objects.create(name="a")
    received = async_to_sync(asyncio.wait_for)(layer.receive("me"), 5)
    assert received == {"type": "stock.changed", "id": article.pk}
