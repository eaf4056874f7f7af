from django.shortcuts import aget_object_or_404
from django.template.response import TemplateResponse

from .models import Cluster
from .related import citing_count, related_clusters


async def opinion_page(request, pk: int):
    cluster = await aget_object_or_404(Cluster, pk=pk)
    context = {
        "name": cluster.case_name,
        "related": await related_clusters(cluster),
        "citing": await citing_count(cluster),
    }
    return TemplateResponse(request, "opinion.html", context)
