"""A message is posted to a webhook."""

import live_upstream
from shop.tasks import celery_post


def test_a_message_is_posted(upstream):
    assert celery_post.delay(live_upstream.URL, {"a": 1}).successful()
