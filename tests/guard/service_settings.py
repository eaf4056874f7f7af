"""Settings of `service.py`."""

import os

from offload.conf import Offload

SECRET_KEY = "service"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "service"
INSTALLED_APPS = ["offload.guard"]
MIDDLEWARE: list[str] = []
API_MIDDLEWARE = ["offload.guard.runtime.middleware.blocked_header"]
LEAN = os.environ["HANDLER"] == "lean"
OFFLOAD = Offload(api_prefixes=("/",), slow_request=1.0, hang_threshold=1.0, lean=LEAN)
