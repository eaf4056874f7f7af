"""The live page. A sync view: it waits for nothing and computes nothing, so async would add
nothing.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.env import load
from offload.access import DEV_TOKEN

SERVICE = "{{ cookiecutter.project_name }}"
_flower = f"http://127.0.0.1:{load().flower_port}/{load().flower_prefix}"


def page(request: HttpRequest) -> HttpResponse:
    shown = {"token": DEV_TOKEN, "flower": _flower} if settings.DEBUG else {"token": ""}
    shown["service"] = SERVICE
    return render(request, "portfolio/page.html", shown)
