from django.conf import settings
from elasticsearch import AsyncElasticsearch


async def count_hits(wanted: dict, days: int) -> int:
    async with AsyncElasticsearch(settings.SEARCH_URL, request_timeout=5) as search:
        answer = await search.count(
            index="opinions",
            query={
                "bool": {
                    "must": {"simple_query_string": {"query": wanted["q"] or "*"}},
                    "filter": {"range": {"filed": {"gte": f"now-{days}d"}}},
                }
            },
        )
        return answer["count"]
