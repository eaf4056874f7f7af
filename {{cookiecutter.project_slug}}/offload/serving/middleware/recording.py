"""The base of the middleware that records each request once: access log and metrics."""

import logging
from http import HTTPStatus
from time import perf_counter

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.serving.fast.deferred_recording import DeferredRecording, Record
from offload.serving.middleware.base import GetResponse, Middleware
from offload.serving.request_state import state_of

logger = logging.getLogger("offload.serving")

# nginx's status for a client that closed before its response; it is never sent.
CLIENT_CLOSED_REQUEST = 499


class RecordingMiddleware(Middleware):
    """Calls `record` once for each request: for a stream at its start, else when it is answered."""

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        defers = self.is_async and conf().fast
        # In a sync chain there is no event loop that could do it later.
        self.record_soon: Record = (
            DeferredRecording(self._record_safely) if defers else self._record_safely
        )

    def before(self, request: HttpRequest) -> float:
        return perf_counter()

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: float) -> None:
        self.record_soon(request, response.status_code, perf_counter() - begun)

    def cancelled(self, request: HttpRequest, begun: float) -> None:
        """Record a cancelled request with the status that its client is sent.

        Three cases: 1. the client left; 2. a layer has ended the request early; 3. all others. Case
        3 is a stop, or a cancelled task that the view awaited: the client is sent a 500.
        """
        state = state_of(request)
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        if state is None or state.client_disconnected:
            status = CLIENT_CLOSED_REQUEST
        elif state.early_end is not None:
            status = state.early_end.status
            state.is_recorded = True
        self.record_soon(request, int(status), perf_counter() - begun)

    def _record_safely(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Record one request. An error in it is logged, and no response fails with it."""
        try:
            self.record(request, status, seconds)
        except Exception:
            logger.exception("%s could not record a request.", type(self).__name__)

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Record one request. Must not block."""
        raise NotImplementedError
