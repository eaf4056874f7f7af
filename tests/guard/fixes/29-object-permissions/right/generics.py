from asgiref.sync import sync_to_async
from django.shortcuts import aget_object_or_404
from rest_framework import generics
from rest_framework.response import Response


class AsyncGenericAPIView(generics.GenericAPIView):
    """The parts of GenericAPIView that wait for the database, as coroutines."""

    async def aget_object(self):
        queryset = await sync_to_async(self.filter_queryset)(self.get_queryset())
        keyword = self.lookup_url_kwarg or self.lookup_field
        obj = await aget_object_or_404(queryset, **{self.lookup_field: self.kwargs[keyword]})
        await sync_to_async(self.check_object_permissions)(self.request, obj)
        return obj


class RetrieveMixin:
    async def aretrieve(self, request, *args, **kwargs):
        instance = await self.aget_object()
        serializer = self.get_serializer(instance)
        return Response(await sync_to_async(lambda: serializer.data)())
