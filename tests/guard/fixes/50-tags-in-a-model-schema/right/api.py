from django.shortcuts import aget_object_or_404
from ninja import NinjaAPI, Router

from .auth import TokenAuth
from .models import Doc
from .schemas import DocOut

router = Router(auth=TokenAuth())


@router.get("/", response=list[DocOut])
async def list_docs(request):
    docs = Doc.objects.filter(owner_id=request.auth.owner_id).order_by("-pk")
    docs = docs.prefetch_related("tags")
    return [doc async for doc in docs[:100]]


@router.delete("/{pk}", response={204: None})
async def delete_doc(request, pk: int):
    doc = await aget_object_or_404(Doc, pk=pk, owner_id=request.auth.owner_id)
    await doc.adelete()
    return 204, None


api = NinjaAPI(title="Documents")
api.add_router("/docs", router)
