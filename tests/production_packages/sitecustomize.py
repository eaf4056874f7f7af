"""Hides from a service's processes what is installed for this repository alone.

Python runs this file in each process that has its folder in PYTHONPATH. Libraries import these
packages where they find them: structlog rich, Celery Pygments, kombu PyYAML, Django Jinja2, Redis
OpenTelemetry with psutil. That takes a quarter of a worker's start, and no image of a service has
them.
"""

import os
import sys

HIDDEN = ["jinja2", "pygments", "rich", "yaml"]
# A service that traces has it.
if not any(name.startswith("OTEL_") for name in os.environ):
    HIDDEN += ["opentelemetry", "psutil"]

# What the import system finds as None it calls not installed.
sys.modules.update(dict.fromkeys(HIDDEN))
