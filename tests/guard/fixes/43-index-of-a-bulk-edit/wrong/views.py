from django.db import transaction
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from .bulk_edit import METHODS


class BulkEditSerializer(serializers.Serializer):
    documents = serializers.ListField(child=serializers.IntegerField(), allow_empty=False)
    method = serializers.ChoiceField(choices=sorted(METHODS))
    parameters = serializers.DictField(required=False, default=dict)


class BulkEditView(GenericAPIView):
    permission_classes = (IsAuthenticated,)
    serializer_class = BulkEditSerializer

    def post(self, request, *args, **kwargs):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            method = METHODS[serializer.validated_data["method"]]
            result = method(
                serializer.validated_data["documents"],
                **serializer.validated_data["parameters"],
            )
        return Response({"result": result})
