"""`manage.py runserver` points to `make dev`.

Django's runserver speaks WSGI: it makes a new event loop for each request. Upstream clients, event
streams and the relay of jobs need one loop for the life of the process.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Not available: use `make dev`."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("address", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "runserver speaks WSGI and makes a new event loop for each request. Upstream clients,"
            " event streams and the relay of jobs can't work there. Use `make dev`: it reloads,"
            " too, and runs on uvicorn."
        )
