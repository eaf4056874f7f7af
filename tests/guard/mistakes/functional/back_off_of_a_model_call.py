"""A call that fails once is repeated."""

from shop.retry import async_retry_with_backoff


async def test_a_call_is_repeated():
    answers = [ConnectionError(), "hello"]

    async def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await async_retry_with_backoff(call, initial=0.01)() == "hello"
