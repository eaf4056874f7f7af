from asgiref.sync import sync_to_async
from django.contrib.postgres.search import TrigramDistance

from .models import Passage


@sync_to_async
def _read(user, kind: str, question: str) -> list[dict]:
    rows = (
        Passage.objects.filter(owner=user, kind=kind)
        .annotate(distance=TrigramDistance("text", question))
        .order_by("distance")
        .values("id", "text", "distance")
    )
    return list(rows[:20])


async def query_passages(user, kind: str, question: str) -> list[dict]:
    return await _read(user, kind, question)
