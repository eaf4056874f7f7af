import asyncio
import json
import time

from asgiref.sync import sync_to_async
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponse, StreamingHttpResponse
from django.views import View
from django.views.generic import ListView

from .models import Run

POLL_SECONDS = 2.0
LONGEST_SECONDS = 300.0


class RunListView(LoginRequiredMixin, ListView):
    template_name = "runs/list.html"

    def get_queryset(self):
        return Run.objects.visible_to(self.request.user).order_by("-id")


class RunStreamView(View):
    async def get(self, request):
        user = await request.auser()
        if not user.is_authenticated:
            return HttpResponse(status=403)
        wanted = {int(part) for part in request.GET.get("ids", "").split(",") if part.isdigit()}
        response = StreamingHttpResponse(
            self._events(user, wanted), content_type="text/event-stream"
        )
        response["Cache-Control"] = "no-cache"
        return response

    async def _events(self, user, wanted: set[int]):
        started = time.monotonic()
        seen: dict[int, str] = {}
        visible = Run.objects.visible_to(user)

        while wanted and time.monotonic() - started < LONGEST_SECONDS:
            async for run in visible.filter(id__in=wanted).only("id", "status"):
                if seen.get(run.id) != run.status:
                    seen[run.id] = run.status
                    yield f"data: {json.dumps({'id': run.id, 'status': run.status})}\n\n"
                if run.status in ("done", "failed"):
                    wanted.discard(run.id)
            await asyncio.sleep(POLL_SECONDS)


@sync_to_async
def unfinished_of(user) -> int:
    return Run.objects.visible_to(user).unfinished().count()
