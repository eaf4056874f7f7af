from zoneinfo import available_timezones

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from .middleware import SESSION_KEY


@require_POST
async def set_time_zone(request):
    name = request.POST.get("name", "")
    if name not in available_timezones():
        return HttpResponse("Unknown time zone", status=400)
    await request.session.aset(SESSION_KEY, name)
    return HttpResponse(status=204)
