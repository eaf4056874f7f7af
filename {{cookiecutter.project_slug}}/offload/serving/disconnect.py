"""Notices that a client left before its response was complete."""

from offload.serving import metrics
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send


class ClientDisconnect:
    """Records in the request's state how far the response is, and whether the client left.

    The handler receives `http.disconnect` and cancels the view (`cancellation.py`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not state.response_complete:
                state.client_disconnected = True
            return message

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.response_started = True
            elif not message.get("more_body", False):
                state.response_complete = True
            await send(message)

        try:
            await self.app(scope, watched_receive, watched_send)
        finally:
            if state.client_disconnected:
                metrics.DISCONNECTS.inc()
