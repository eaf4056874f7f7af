from django.db import transaction
from rest_framework import permissions, status
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from .models import Part, ReportOutput, ReportTemplate
from .serializers import PrintSerializer, ReportOutputSerializer
from .tasks import print_reports


class ReportPrint(GenericAPIView):
    permission_classes = [permissions.IsAuthenticated]
    serializer_class = PrintSerializer

    def post(self, request, *args, **kwargs):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        template: ReportTemplate = serializer.validated_data["template"]
        items = Part.objects.filter(pk__in=serializer.validated_data["items"])
        if not items.exists():
            return Response({"items": "No such parts."}, status=status.HTTP_400_BAD_REQUEST)
        return self.print(template, items, request)

    def print(self, template: ReportTemplate, items, request) -> Response:
        output = ReportOutput.objects.create(user=request.user)
        item_ids = list(items.values_list("pk", flat=True))
        transaction.on_commit(lambda: print_reports.delay(template.pk, item_ids, output.pk))
        return Response(ReportOutputSerializer(output).data, status=status.HTTP_202_ACCEPTED)
