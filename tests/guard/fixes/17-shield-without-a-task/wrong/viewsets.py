import asyncio

from asgiref.sync import async_to_sync, sync_to_async
from rest_framework.permissions import IsAuthenticated
from rest_framework.viewsets import ModelViewSet

from .models import Upload
from .processing import process_upload
from .serializers import UploadSerializer


class LoggedMixin:
    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["X-Api-Version"] = "3"
        return response


class UploadViewSet(LoggedMixin, ModelViewSet):
    permission_classes = (IsAuthenticated,)
    queryset = Upload.objects.order_by("-id")
    serializer_class = UploadSerializer
    filterset_fields = ("status", "court_id")

    @async_to_sync
    async def perform_create(self, serializer):
        upload = await sync_to_async(serializer.save)(uploader=self.request.user)
        await asyncio.shield(process_upload(upload))
