"""The ASGI application of all stand-ins. Add stand-ins for your own upstreams here."""

{% if cookiecutter.example == "yes" -%}
from sandbox.answer import Receive, Scope, Send
from sandbox.markets import markets
{% else -%}
from sandbox.answer import Receive, Scope, Send, answer
{% endif -%}
from sandbox.waiting import waiting


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Choose the stand-in by the first part of the path."""
    if scope["path"].startswith("/wait/"):
        await waiting(scope, send)
    else:
{%- if cookiecutter.example == "yes" %}
        await markets(scope, send)
{%- else %}
        await answer(send, 404, {"error": "no such stand-in"})
{%- endif %}
