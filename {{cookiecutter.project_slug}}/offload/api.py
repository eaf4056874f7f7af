"""Makes the API of a service: logins, problems instead of error pages, and the routes of jobs."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_script_prefix
from django.utils.functional import Promise
from django.views.decorators.csrf import ensure_csrf_cookie
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError, ValidationErrorContext
from ninja.openapi.views import openapi_json, openapi_view
from ninja.operation import Operation, PathView
from ninja.renderers import JSONRenderer
from ninja.security.base import AuthBase
from pydantic_core import PydanticSerializationError, to_json

from offload.access import BearerToken, SessionLogin
from offload.jobs.api import router as jobs
from offload.json_bodies import BodyParser, too_many_faults
from offload.observe.tracing import tracing
from offload.openapi import Document
from offload.problems import Problem
from offload.serving.unavailable import unavailable
from offload.serving.without_transaction import without_transaction

logger = logging.getLogger("offload.api")


def make_api(
    title: str, description: str = "", version: str = "1.0.0", logins: Sequence[AuthBase] = ()
) -> NinjaAPI:
    """A `NinjaAPI` whose routes need a login and whose errors are `application/problem+json`.

    Args:
        logins: the service's own ways to log in, tried before the standard's. Each returns the
            caller's name, or None where a request is not for it.
    """
    api = Api(
        title=title,
        description=description,
        version=version,
        auth=[*logins, BearerToken(), SessionLogin()],
        renderer=Json(),
        parser=BodyParser(),
        docs_decorator=_docs_view,
    )
    api.add_router("/jobs", jobs)
    for error in (Problem, ValidationError, AuthenticationError, HttpError, Http404, Exception):
        api.add_exception_handler(error, _answer)
    return api


def _docs_view(view: Callable[..., Any]) -> Callable[..., Any]:
    """What ninja serves of the docs: the API's document, and its page.

    The page has a cookie, with which a user who has logged in can try the API out. Where the token
    is in the session (CSRF_USE_SESSIONS), the API's chain has none: then the answer says what a
    request lacks.
    """
    # ninja hands over a partial function for each of its views.
    function = getattr(view, "func", None)
    if function is openapi_json:
        return _made_once(view)
    is_page = function is openapi_view and not settings.CSRF_USE_SESSIONS
    return ensure_csrf_cookie(view) if is_page else view


def _made_once(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view of the API's document, which is made once for each path of the service.

    Strangers may ask for it. It takes 20 ms of CPU to make in a new service.
    """
    made: dict[str, bytes] = {}

    def document(request: HttpRequest, **parameters: Any) -> HttpResponse:
        if parameters:
            # An API below a path of parameters has a document for each of their values.
            response: HttpResponse = view(request, **parameters)
            return response
        prefix = get_script_prefix()
        if prefix not in made:
            made[prefix] = view(request).content
        return HttpResponse(made[prefix], content_type="application/json")

    return document


class Api(NinjaAPI):
    """What `make_api` makes: cheap responses, few faults, and a document with every error."""

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """The response on which a view may set headers; the answer is put into it.

        ninja begins with an empty text, for which Django looks up a charset: 5 % of a small
        request.
        """
        return HttpResponse(b"", content_type=self.get_content_type())

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> Document:
        """The API's document, with the errors of each operation."""
        if path_prefix is None:
            path_prefix = self.get_root_path(path_params or {})
        return Document(self, path_prefix)

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Feature and view, such as `portfolio_quotes`: clients name their functions after it."""
        feature = operation.view_func.__module__.split(".")[-2:-1]
        return "_".join([*feature, operation.view_func.__name__])

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """What is wrong with a request: each fault, or their number if there are very many."""
        for context in error_contexts:
            # It leads to ninja's function that has these contexts in a variable. Each 422, and its
            # body, would wait for the garbage collector.
            context.pydantic_validation_error.__traceback__ = None
        return too_many_faults(error_contexts) or super().validation_error_from_error_contexts(
            error_contexts
        )


def _find_operation(self: PathView, request: HttpRequest) -> Operation | None:
    """The operation for the request's method. A HEAD is answered by GET (RFC 9110 section 9.1)."""
    found: Operation | None = _find_exactly(self, request)
    if found is None and request.method == "HEAD":
        return next((each for each in self.operations if "GET" in each.methods), None)
    return found


def _not_allowed(self: PathView) -> HttpResponse:
    methods = {method for operation in self.operations for method in operation.methods}
    if "GET" in methods:
        methods.add("HEAD")
    allowed = ", ".join(sorted(methods))
    return Problem(405, f"this address takes {allowed}", headers={"Allow": allowed}).response()


def _view_without_transaction(self: PathView) -> Callable[..., Any]:
    view = _get_view(self)
    return without_transaction(view) if self.is_async else view


_get_view = PathView.get_view
PathView.get_view = _view_without_transaction  # type: ignore[method-assign]
_find_exactly = PathView._find_operation  # noqa: SLF001
PathView._find_operation = _find_operation  # type: ignore[method-assign]  # noqa: SLF001
# ninja's own answer is plain text, and no exception handler sees it.
PathView._not_allowed = _not_allowed  # type: ignore[method-assign]  # noqa: SLF001


class Json(JSONRenderer):
    """Writes answers with pydantic's encoder.

    A job reads the same here and in its events, and the encoder takes a third of the CPU of the
    standard library's.
    """

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """The JSON document, in UTF-8."""
        try:
            return to_json(data, by_alias=False, inf_nan_mode="null", fallback=_lazy)
        except PydanticSerializationError:
            # A lone surrogate is half a character: only an escape can write it.
            text: str = super().render(request, data, response_status=response_status)
            return text.encode()


def _lazy(value: object) -> str:
    """Django's translated texts: its own encoder knows them, and pydantic's does not."""
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _answer(request: HttpRequest, error: Any) -> HttpResponse:
    return _problem(error).response()


def _problem(error: Any) -> Problem:
    """What the caller is answered. An error that nobody expected is logged, and is a 500."""
    match error:
        case Problem():
            return error
        case ValidationError():
            # The same function has this error in a variable, too.
            error.__traceback__ = None
            faults = [
                {"where": _where(*fault["loc"]), "what": fault["msg"]} for fault in error.errors
            ]
            return Problem(
                422,
                "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults),
                errors=faults,
            )
        case AuthenticationError():
            detail = (
                "send Authorization: Bearer <token> (`make token NAME=you` makes one), or log in"
            )
            return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        case HttpError():
            return Problem(error.status_code, str(error))
        case SuspiciousOperation():
            return Problem(400, str(error))
        case Http404():
            return Problem(404, str(error) or "there is nothing here")
    if problem := unavailable(error):
        return problem
    tracing.record_error(error)
    logger.error("A view raised an error that it does not handle: a 500.", exc_info=error)
    return Problem(500, "this is our fault; the log has the reason under the request's id")


def _where(*parts: str | int) -> str:
    """The place of a fault in the request, as its sender wrote it.

    The view's parameter that holds the whole body or query is often called `body` or `query`, too.
    The sender does not know that parameter.
    """
    match parts:
        case ("body", "body", *_) | ("query", "query", _, *_):
            parts = parts[1:]
    return ".".join(map(str, parts))
