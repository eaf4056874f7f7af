from adrf.views import APIView
from rest_framework import permissions

from .generics import AsyncGenericAPIView, RetrieveMixin
from .models import Document
from .serializers import DocumentSerializer


class IsOnTheTeam(permissions.BasePermission):
    def has_object_permission(self, request, view, obj) -> bool:
        return obj.team.members.filter(pk=request.user.pk).exists()


class DocumentView(RetrieveMixin, AsyncGenericAPIView, APIView):
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer
    permission_classes = [permissions.IsAuthenticated, IsOnTheTeam]

    async def get(self, request, *args, **kwargs):
        return await self.aretrieve(request, *args, **kwargs)
