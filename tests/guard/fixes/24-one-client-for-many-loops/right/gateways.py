import httpx


class OfferGateway:
    def __init__(self, http_client: httpx.AsyncClient, base_url: str):
        self._client = http_client
        self._base_url = base_url

    async def detail(self, reference: str) -> dict:
        answer = await self._client.get(f"{self._base_url}/offers/{reference}")
        answer.raise_for_status()
        return answer.json()

    async def close(self) -> None:
        await self._client.aclose()
