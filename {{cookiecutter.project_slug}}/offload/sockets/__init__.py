"""WebSockets: who may open one, and the jobs that it watches and cancels (Django Channels)."""

from offload.sockets.application import websocket_application

__all__ = ["websocket_application"]
