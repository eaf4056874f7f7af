from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views import View

from .exports import export_csv
from .models import Event


class ExportView(LoginRequiredMixin, View):
    def post(self, request, slug: str):
        event = get_object_or_404(Event, slug=slug, team=request.user)
        data = export_csv(event)
        response = HttpResponse(data, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{event.slug}.csv"'
        return response
