import httpx
from django.conf import settings


async def push(repo_id: str, diff: str) -> str:
    async with httpx.AsyncClient(base_url=settings.SANDBOX_URL, timeout=30) as client:
        answer = await client.post("/push", json={"repo": repo_id, "diff": diff})
        answer.raise_for_status()
        return answer.json()["branch"]
