"""The live page. A sync view: it waits for nothing and computes nothing, so async would add
nothing.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.env import load
from offload.access import DEV_TOKEN

SERVICE = "{{ cookiecutter.project_name }}"
SCRIPT = "portfolio/page{% if cookiecutter.websockets == "yes" %}_with_socket{% endif %}.js"
# Everything comes from this host, as files: a script or a style inside of the page does not run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_flower = f"http://127.0.0.1:{load().flower_port}/{load().flower_prefix}"


def page(request: HttpRequest) -> HttpResponse:
    shown = {"service": SERVICE, "debug": settings.DEBUG, "script": SCRIPT}
    if settings.DEBUG:
        shown |= {"token": DEV_TOKEN, "flower": _flower}
    response = render(request, "portfolio/page.html", shown)
    response["Content-Security-Policy"] = POLICY
    return response
