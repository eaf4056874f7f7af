import httpx
from django.conf import settings

TIMEOUT_SECONDS = 10


async def request_with_token(url: str, params: dict) -> dict:
    headers = {"Authorization": f"Bearer {settings.COURSE_TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS) as client:
        answer = await client.get(url, params=params)
    answer.raise_for_status()
    return answer.json()


async def problem_of_block(block: str) -> str:
    body = await request_with_token(settings.BLOCKS_URL, {"edx_module_id": block})
    return body["results"][0]["content"]


async def problem_set_of_course(course: str, title: str) -> str:
    body = await request_with_token(f"{settings.PROBLEMS_URL}{course}/{title}/", {})
    return "\n".join(problem["content"] for problem in body["problems"])
