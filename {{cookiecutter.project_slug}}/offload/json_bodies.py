"""Reads the API's bodies of JSON, with a bound on what a wrong one costs."""

from typing import Any

from django.http import HttpRequest
from ninja.errors import ValidationError, ValidationErrorContext
from ninja.parser import Parser
from pydantic_core import from_json

# A body with more faults is answered with their number. A megabyte with 95,000 of them took 340 ms
# to describe, and 60 ms to parse and to check.
MAX_FAULTS = 100


class BodyParser(Parser):
    """Parses with pydantic's parser.

    It stops the loop for 29 ms with the worst megabyte (350,000 empty lists), and the standard
    library's for 59 ms (170,000 floats). It refuses half a character (a lone surrogate), which no
    database takes.
    """

    def parse_body(self, request: HttpRequest) -> Any:
        """The parsed body. Raises ValueError if it is no JSON."""
        return from_json(request.body)


def too_many_faults(contexts: list[ValidationErrorContext[Any]]) -> ValidationError | None:
    """The error in place of very many; None if there are no more than `MAX_FAULTS`.

    pydantic can only describe all the faults of a body or none.
    """
    count = sum(context.pydantic_validation_error.error_count() for context in contexts)
    if count <= MAX_FAULTS:
        return None

    fault = {
        "type": "too_many_faults",
        "loc": (contexts[0].model.__ninja_param_source__,),
        "msg": f"{count} values are wrong. Up to {MAX_FAULTS} would be named one by one",
    }
    return ValidationError([fault])
