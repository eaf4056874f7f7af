"""The ASGI application, with the lifespans of the rooms.

The web process opens the lifespans in this order, and closes them in reverse.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from offload import fanout, guard, jobs  # noqa: E402  # needs the settings
from offload.serving import Application  # noqa: E402
{%- if cookiecutter.websockets == "yes" %}
from offload.sockets import websocket_application  # noqa: E402

application = Application(
    lifespans=[fanout.lifespan, jobs.lifespan, guard.lifespan],
    # Your own consumers are its arguments, such as `path("ws/prices", Prices.as_asgi())`.
    websocket=websocket_application(),
)
{%- else %}

application = Application(lifespans=[fanout.lifespan, jobs.lifespan, guard.lifespan])
{%- endif %}
