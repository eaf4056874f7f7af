import logging

from asgiref.sync import sync_to_async
from django.core.cache import cache
from elasticsearch import ApiError
from elasticsearch import ConnectionError as SearchConnectionError
from elasticsearch_dsl import Q

from .documents import ClusterDocument
from .models import Cluster

logger = logging.getLogger(__name__)

KEPT_SECONDS = 3600
MOST = 5


async def build_related_query(search, opinion_ids: list[int]):
    texts = [{"_index": "clusters", "_id": str(pk)} for pk in opinion_ids]
    return search.query(Q("more_like_this", fields=["case_name"], like=texts, min_term_freq=1))


async def related_clusters(cluster: Cluster) -> dict:
    key = f"related:{cluster.pk}"
    kept = await cache.aget(key)
    if kept is not None:
        return kept
    result = {"clusters": [], "timed_out": False}
    opinion_ids = [pk async for pk in cluster.opinions.values_list("pk", flat=True)]
    query = await build_related_query(ClusterDocument.search(), opinion_ids)
    query = query.extra(size=MOST, track_total_hits=False)
    try:
        response = query.execute()
    except (SearchConnectionError, ApiError) as error:
        logger.warning("The related cases of %s cannot be read: %s", cluster.pk, error)
        result["timed_out"] = True
        return result
    result["clusters"] = [{"id": hit.meta.id, "name": hit.case_name} for hit in response]
    await cache.aset(key, result, KEPT_SECONDS)
    return result


@sync_to_async
def citing_count(cluster: Cluster) -> int:
    return ClusterDocument.search().filter("term", cites=str(cluster.pk)).count()
