"""A branch is pushed, and a merge request is opened."""

from shop.publishing import publisher_for


async def test_a_merge_request_is_opened(upstream):
    upstream.update(branch="b", iid=3, id=9, draft=False, web_url="https://forge/3")
    publisher = await publisher_for("1")
    made = await publisher.publish("diff")
    assert made.number == 3
