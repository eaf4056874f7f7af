"""The frame of every API: tokens, problems instead of error pages, and the jobs' own routes."""

import logging
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.operation import PathView
from ninja.renderers import JSONRenderer
from pydantic_core import PydanticSerializationError, to_json

from offload.access.bearer import BearerToken
from offload.jobs.api import router as jobs
from offload.problems import Problem

log = logging.getLogger("offload.api")


def make_api(title: str, description: str = "", version: str = "1.0.0") -> NinjaAPI:
    """A `NinjaAPI` whose routes need a token and whose errors are `application/problem+json`."""
    api = Api(
        title=title, description=description, version=version, auth=BearerToken(), renderer=Json()
    )
    api.add_router("/jobs", jobs)
    for error in (Problem, ValidationError, AuthenticationError, HttpError, Http404, Exception):
        api.add_exception_handler(error, _answer)
    return api


class Api(NinjaAPI):
    """Starts each answer with empty bytes: for an empty text Django looks a charset up, 5 % of a
    small request.
    """

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """What a view may set headers on, and what the answer is put into."""
        return HttpResponse(b"", content_type=self.get_content_type())


def _not_allowed(self: PathView) -> HttpResponse:
    allowed = ", ".join(
        sorted({method for operation in self.operations for method in operation.methods})
    )
    return Problem(405, f"this address takes {allowed}", headers={"Allow": allowed}).response()


# ninja's is plain text, and no exception handler sees it.
PathView._not_allowed = _not_allowed  # type: ignore[method-assign]  # noqa: SLF001


class Json(JSONRenderer):
    """Answers as pydantic writes them: a job reads the same here and in its events, and it costs a
    third of the CPU.
    """

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """The JSON document, UTF-8."""
        try:
            return to_json(data, by_alias=False, inf_nan_mode="null", fallback=_lazy)
        except PydanticSerializationError:
            # Half a character (a lone surrogate), which only an escape can write.
            text: str = super().render(request, data, response_status=response_status)
            return text.encode()


def _lazy(value: object) -> str:
    """Django's translated texts, the one thing its encoder knows and pydantic's doesn't."""
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _where(*parts: str | int) -> str:
    """Where in the request a fault is. The body's name in the code is `body`, too, and says nothing
    to its sender.
    """
    return ".".join(map(str, parts[1:] if parts[:2] == ("body", "body") else parts))


def _answer(request: HttpRequest, error: Any) -> HttpResponse:
    return _problem(error).response()


def _problem(error: Any) -> Problem:
    match error:
        case Problem():
            return error
        case ValidationError():
            faults = [
                {"where": _where(*fault["loc"]), "what": fault["msg"]} for fault in error.errors
            ]
            return Problem(
                422,
                "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults),
                errors=faults,
            )
        case AuthenticationError():
            detail = "send Authorization: Bearer <token>; `make token NAME=you` makes one"
            return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        case HttpError():
            return Problem(error.status_code, str(error))
        case SuspiciousOperation():
            return Problem(400, str(error))
        case Http404():
            return Problem(404, str(error) or "there is nothing here")
    log.error("unhandled error in a view", exc_info=error)
    return Problem(500, "this is our fault; the log has the reason under the request's id")
