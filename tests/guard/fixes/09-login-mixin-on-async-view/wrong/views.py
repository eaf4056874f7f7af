import asyncio
import json
import uuid

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views import View
from django.views.generic import DetailView

from .models import Activity

POLL_SECONDS = 2.0
MOST_POLLS = 150


class OwnedMixin:
    def get_queryset(self):
        return super().get_queryset().filter(owner=self.request.user)


class ActivityDetailView(LoginRequiredMixin, OwnedMixin, DetailView):
    model = Activity
    template_name = "activity/detail.html"


def parse_ids(text: str) -> list[uuid.UUID]:
    found = []
    for part in text.split(","):
        try:
            found.append(uuid.UUID(part.strip()))
        except ValueError:
            continue
    return found


class ActivityStreamView(LoginRequiredMixin, View):
    """Tells the page about runs that are under way."""

    async def get(self, request) -> HttpResponseBase:
        ids = parse_ids(request.GET.get("ids", ""))
        if not ids:
            return HttpResponse(status=204)
        response = StreamingHttpResponse(self._follow(ids), content_type="text/event-stream")
        response["X-Accel-Buffering"] = "no"
        return response

    async def _follow(self, ids: list[uuid.UUID]):
        for _ in range(MOST_POLLS):
            rows = [row async for row in Activity.objects.filter(id__in=ids).values("id", "status")]
            body = json.dumps({str(row["id"]): row["status"] for row in rows})
            yield f"data: {body}\n\n"
            if all(row["status"] == "done" for row in rows):
                return
            await asyncio.sleep(POLL_SECONDS)
