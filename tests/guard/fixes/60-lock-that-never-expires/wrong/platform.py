import httpx
from django.conf import settings


def members_of(slug: str) -> list[str]:
    answer = httpx.get(f"{settings.PLATFORM_URL}/{slug}/members", timeout=30)
    answer.raise_for_status()
    return [row["username"] for row in answer.json()]
