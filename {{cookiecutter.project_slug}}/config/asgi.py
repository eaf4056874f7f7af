"""The ASGI application: what the web process opens, in this order, and closes in reverse."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from offload import fanout, guard  # noqa: E402 - settings come first
from offload.jobs.lifespan import lifespan as jobs  # noqa: E402
from offload.serving import Application  # noqa: E402

application = Application(lifespans=[fanout.lifespan, jobs, guard.lifespan])
