"""Writes the errors of every operation into the API's document (OpenAPI 3.1)."""

import re
from http.client import responses
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import BODY_CONTENT_TYPES, OpenAPISchema
from ninja.operation import Operation

from offload.access import AnyClient
from offload.conf import conf
from offload.problems import CONTENT_TYPE

# Component `Problem`: RFC 9457. A problem may have more members, such as `sources`.
PROBLEM = {
    "title": "Problem",
    "type": "object",
    "description": "An error, in a sentence that says what to do (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "of a 422: each fault, by its place in the request",
            "items": {
                "title": "Fault",
                "type": "object",
                "properties": {"where": {"type": "string"}, "what": {"type": "string"}},
                "required": ["where", "what"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}

DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "The request has neither a valid token nor a session.",
    403: "The token's scope does not allow it, or a request with a session lacks its CSRF token or "
    "has a foreign origin.",
    404: "There is nothing at this address, or it is another owner's.",
    408: "The body came too slowly.",
    409: "The state does not allow it now.",
    413: "The body is too large.",
    416: "The range begins after the end.",
    422: "A value does not fit; `errors` names each fault.",
    429: "Too many requests of this kind came from this caller, or the caller's quota is used up.",
    502: "A source that is needed failed.",
    503: "The service is overloaded, or something that it needs does not answer.",
    504: "A source that is needed did not answer in time.",
}

_SECONDS = {"description": "seconds until the next try", "schema": {"type": "integer"}}
_TEXT = {"schema": {"type": "string"}}
# Of responses to callers with a quota (draft-ietf-httpapi-ratelimit-headers-10).
QUOTA_HEADERS = {
    "RateLimit-Policy": _TEXT | {"description": 'the quota, as in `"owner";q=600;w=60`'},
    "RateLimit": _TEXT | {"description": 'what is left of it, as in `"owner";r=599;t=1`'},
}
HEADERS = {
    401: {"WWW-Authenticate": _TEXT | {"required": True}},
    # It names the scope. A feature may have other reasons for a 403.
    403: {"WWW-Authenticate": _TEXT},
    416: {"Content-Range": _TEXT | {"required": True}},
    429: {"Retry-After": _SECONDS | {"required": True}} | QUOTA_HEADERS,
    # Nobody knows when some sources will answer again: then it is missing.
    502: {"Retry-After": _SECONDS},
    503: {"Retry-After": _SECONDS},
    504: {"Retry-After": _SECONDS},
}
LOCATION = {"Location": _TEXT | {"description": "the job's address", "required": True}}


class Document(OpenAPISchema):
    """django-ninja's document, with a problem for each error that an operation can answer.

    An operation declares other errors without a model: `response={204: None, 409: None}`.
    """

    def __init__(self, api: NinjaAPI, path_prefix: str) -> None:
        # By name, in the components.
        self._problems: dict[str, dict[str, Any]] = {}
        super().__init__(api, path_prefix)

    def responses(self, operation: Operation) -> dict[int, dict[str, Any]]:
        """The responses of an operation by status, its errors last."""
        found: dict[int, dict[str, Any]] = super().responses(operation)
        if 202 in found:
            found[202]["headers"] = LOCATION
        if has_quota(operation):
            for response in found.values():
                response["headers"] = response.get("headers", {}) | QUOTA_HEADERS
        models = operation.response_models
        declared = {status for status in found if status >= 400 and models[status] is None}
        for status in sorted(declared | error_statuses(operation) - set(found)):
            name = f"Problem{status}"
            self._problems[name] = problem_response(status)
            found[status] = {"$ref": f"#/components/responses/{name}"}
        return found

    def operation_security(self, operation: Operation) -> list[dict[str, Any]] | None:
        """The logins of an operation; `{}` where it takes requests without one, too."""
        found: list[dict[str, Any]] | None = super().operation_security(operation)
        return [*(found or ()), {}] if is_public(operation) else found

    def get_components(self) -> dict[str, Any]:
        """The shared parts of the document, the problems among them."""
        for schema in self.schemas.values():
            _name_keys(schema)
        self.schemas["Problem"] = PROBLEM
        components: dict[str, Any] = super().get_components()
        return components | {"responses": self._problems}


def problem_response(status: int) -> dict[str, Any]:
    """The response of the document for an error with this status."""
    schema = {"$ref": "#/components/schemas/Problem"}
    response = {
        "description": DESCRIPTIONS.get(status, responses.get(status, "An error.")),
        "content": {CONTENT_TYPE: {"schema": schema}},
    }
    return response | ({"headers": HEADERS[status]} if status in HEADERS else {})


def error_statuses(operation: Operation) -> set[int]:
    """The statuses of the errors that the standard answers for an operation.

    A 500 is a fault of the service, and no part of its contract.
    """
    sources = {model.__ninja_param_source__ for model in operation.models}
    statuses = {400, 503}
    if operation.auth_callbacks:
        statuses |= {403, 429} if is_public(operation) else {401, 403, 429}
    if "path" in sources:
        statuses.add(404)
    # A converter, such as `{uuid:job_id}`, answers 404.
    if sources - {"path"} or re.search(r"{[^:}]+}", operation.path):
        statuses.add(422)
    if sources & BODY_CONTENT_TYPES.keys():
        statuses |= {408, 413}
    # `submit` meets another job that is unique and has the same parameters.
    if 202 in operation.response_models and "POST" in operation.methods:
        statuses.add(409)
    # The standard's own views ask no other service.
    if operation.is_async and not operation.view_func.__module__.startswith("offload."):
        statuses |= {502, 504}
    return statuses


def is_public(operation: Operation) -> bool:
    """Whether the operation also takes requests without a login."""
    return any(isinstance(each, AnyClient) for each in operation.auth_callbacks)


def has_quota(operation: Operation) -> bool:
    """Whether the settings limit the requests of the operation's callers."""
    per_address = is_public(operation) and conf().requests_per_address
    return bool(operation.auth_callbacks and (conf().requests_per_owner or per_address))


def _name_keys(schema: Any) -> None:
    """Give the pattern of a dictionary's keys as `propertyNames`, and its values' schema beside it.

    Pydantic writes `patternProperties`. That keyword allows other keys, which the service refuses,
    and generators of clients do not know it.
    """
    if isinstance(schema, list):
        for each in schema:
            _name_keys(each)
    elif isinstance(schema, dict):
        if len(schema.get("patternProperties", ())) == 1:
            [(pattern, values)] = schema.pop("patternProperties").items()
            schema |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
        for each in schema.values():
            _name_keys(each)
