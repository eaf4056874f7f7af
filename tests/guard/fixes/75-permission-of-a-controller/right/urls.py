from django.http import JsonResponse
from django.urls import path

from .models import Ticket
from .permissions import MayViewModel
from .routes import Controller, route


class TicketController(Controller):
    model = Ticket
    permission_classes = (MayViewModel,)

    async def list(self):
        rows = [row async for row in Ticket.objects.values("id", "title")[:100]]
        return JsonResponse({"tickets": rows})


urlpatterns = [path("tickets/", route(TicketController, "list"))]
