import httpx
from django.conf import settings

TIMEOUT_SECONDS = 10


def request_with_token(url: str, params: dict) -> dict:
    answer = httpx.get(
        url,
        params=params,
        headers={"Authorization": f"Bearer {settings.COURSE_TOKEN}"},
        timeout=TIMEOUT_SECONDS,
    )
    answer.raise_for_status()
    return answer.json()


def problem_of_block(block: str) -> str:
    body = request_with_token(settings.BLOCKS_URL, {"edx_module_id": block})
    return body["results"][0]["content"]


def problem_set_of_course(course: str, title: str) -> str:
    body = request_with_token(f"{settings.PROBLEMS_URL}{course}/{title}/", {})
    return "\n".join(problem["content"] for problem in body["problems"])
