from asgiref.sync import sync_to_async
from django.shortcuts import aget_object_or_404
from django.template.response import TemplateResponse

from .metadata import build_bankruptcy_rows, build_docket_rows, build_origin_rows
from .models import Docket, Origin


async def view_docket(request, pk: int):
    docket = await aget_object_or_404(Docket, pk=pk)
    origin = await Origin.objects.filter(pk=docket.origin_id).afirst()
    context = {"docket_id": docket.pk, "title": docket.nature or "Docket"}
    context.update(
        {
            "metadata": await sync_to_async(build_docket_rows)(docket),
            "bankruptcy": build_bankruptcy_rows(None),
            "origin": build_origin_rows(docket, origin),
        }
    )
    return TemplateResponse(request, "docket.html", context)
