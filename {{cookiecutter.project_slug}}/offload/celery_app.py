"""The Celery app of the service: the same one in every thread."""

from typing import Any

from celery import current_app
from celery.app import default_app

# The name of the app that Celery makes where no other was made (celery/_state.py).
STAND_IN_APP = "default"


def celery_app() -> Any:
    """The first Celery app that was made under Django: that of the settings' package.

    Celery's `current_app` is another one where a second app is made later, by a module or by a
    library: the last app in the thread that made it, and the first in all others. Checks and
    workers would look at the one, and the relay's thread would publish by the other.
    """
    is_real = default_app and default_app.main != STAND_IN_APP
    return default_app if is_real else current_app
