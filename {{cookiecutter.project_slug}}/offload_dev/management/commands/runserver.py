"""`runserver` speaks WSGI: a new event loop for every request, where no upstream client can live."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Not here: use `make dev`."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("address", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "runserver serves over WSGI, with a new event loop for every request: upstream clients, event streams and "
            "the relay can't live there. Use `make dev`: the same reloading, on uvicorn."
        )
