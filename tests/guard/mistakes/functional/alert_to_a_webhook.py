"""The chat's test message is posted, and the error of before is forgotten."""

import live_upstream
import pytest
from shop.backends import chat_send_test
from shop.models import ServiceConfig


@pytest.mark.django_db
def test_a_message_is_posted(upstream):
    config = ServiceConfig.objects.create(name="chat", last_error="away")
    chat_send_test.delay(live_upstream.URL, "shop", config.pk)
    config.refresh_from_db()
    assert config.last_error == ""
