"""A saved article is announced to its group."""

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from shop.models import Article


@pytest.mark.django_db(transaction=True)
def test_a_saved_article_is_announced():
    layer = get_channel_layer()
    async_to_sync(layer.group_add)("stock", "me")
    article = Article.objects.create(name="a")
    assert async_to_sync(layer.receive)("me") == {"type": "stock.changed", "id": article.pk}
