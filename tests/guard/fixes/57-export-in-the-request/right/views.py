from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views import View

from .models import CachedFile, Event
from .tasks import run_csv_export


class ExportView(LoginRequiredMixin, View):
    def post(self, request, slug: str):
        event = get_object_or_404(Event, slug=slug, team=request.user)
        cached = CachedFile.objects.create(event=event)
        transaction.on_commit(lambda: run_csv_export.delay(cached.pk))
        return JsonResponse({"file": cached.pk}, status=202)
