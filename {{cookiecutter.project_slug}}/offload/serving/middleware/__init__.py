"""Middleware that runs in the mode of its chain: async without a thread, sync without a loop."""

from offload.serving.middleware.access_log import AccessLog
from offload.serving.middleware.base import Middleware
from offload.serving.middleware.request_ids import RequestId, request_id
from offload.serving.middleware.request_metrics import Metrics
from offload.serving.middleware.security_headers import SecurityHeaders
from offload.serving.middleware.traces import Traces

__all__ = [
    "AccessLog",
    "Metrics",
    "Middleware",
    "RequestId",
    "SecurityHeaders",
    "Traces",
    "request_id",
]
