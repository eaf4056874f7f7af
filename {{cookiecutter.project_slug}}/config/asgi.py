"""The ASGI application, with the lifespans of the rooms.

The web process opens the lifespans in this order, and closes them in reverse.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

{% if cookiecutter.websockets == "yes" -%}
from config.consumers import consumers  # noqa: E402
{% endif -%}
from offload import access, fanout, guard, jobs  # noqa: E402  # needs the settings
from offload.serving import Application  # noqa: E402
{%- if cookiecutter.websockets == "yes" %}
from offload.sockets import websocket_application  # noqa: E402

application = Application(
    lifespans=[access.lifespan, fanout.lifespan, jobs.lifespan, guard.lifespan],
    websocket=websocket_application(*consumers),
)
{%- else %}

application = Application(
    lifespans=[access.lifespan, fanout.lifespan, jobs.lifespan, guard.lifespan]
)
{%- endif %}
