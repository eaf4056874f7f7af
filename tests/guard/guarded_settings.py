"""Settings of `guarded_app.py`."""

import os

from offload.conf import Offload

SECRET_KEY = "guarded"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "guarded_app"
INSTALLED_APPS = ["offload.guard"]
MIDDLEWARE: list[str] = []
API_MIDDLEWARE = ["offload.guard.runtime.blocked_header.blocked_header"]
LEAN = os.environ["HANDLER"] == "lean"
OFFLOAD = Offload(api_prefixes=("/",), slow_request=1.0, hang_threshold=1.0, lean=LEAN)
