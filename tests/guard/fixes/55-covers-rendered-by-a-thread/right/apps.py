import os

from django.apps import AppConfig


class LibraryConfig(AppConfig):
    name = "library"

    def ready(self):
        from .covers import cover_thread

        if os.environ.get("RUN_LIBRARIAN") == "1":
            cover_thread.start()
