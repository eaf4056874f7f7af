"""Whether the reader of a JSON document gets what was sent."""

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from offload.validation_faults import faults_of

M = TypeVar("M", bound=BaseModel)

# An even number of backslashes, and the escape.
ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

# What pydantic says of an object for which it knows no JSON; the name alone, without its module.
UNKNOWN_TYPE = re.compile(r"Unable to serialize unknown type: <class '(?:[^']*\.)?([^'.]+)'>")


def json_of(value: BaseModel) -> str:
    """The JSON of a model.

    Raises:
        ValueError: it has none; the sentence goes on after the name of what was to be written.
    """
    try:
        return value.model_dump_json()
    except PydanticSerializationError as error:
        if unknown := UNKNOWN_TYPE.search(str(error)):
            raise ValueError(
                f"cannot be written as JSON, which has no {unknown[1]}: give plain values, such as"
                " the keys of rows"
            ) from error
        raise ValueError(
            "cannot be written as JSON, perhaps for a text with half a character (a lone "
            "surrogate), for bytes that are no text, or for a nesting that is too deep"
        ) from error


def fault_of_json(model: type[BaseModel], sent: BaseModel, document: str) -> str | None:
    """Why a reader of `document` would not get the fields that were sent; None if he would."""
    try:
        read = model.model_validate_json(document)
    except ValidationError as error:
        return f"cannot be read back from JSON: {faults_of(error)}. JSON has no NaN and no infinity"

    if has_nul(document):
        return "cannot be stored: PostgreSQL takes no NUL character in a text. Remove it"
    for name in model.model_fields:
        if not _equal(getattr(read, name), getattr(sent, name)):
            return (
                f"cannot be read back from JSON as they went: the field {name!r} differs. JSON has "
                "no NaN and no infinity, and the text of a SecretStr is hidden: send null, or a "
                "reference to the secret"
            )
    return None


def model_of(model: type[M], value: Any) -> M:
    """What a row has of a model, read as `fault_of_json` has tried it.

    The row's values are plain, and pydantic reads plain values otherwise than JSON: a strict model
    takes no text for a date, and for `date | str` a text is a text.

    Raises:
        ValidationError: it does not fit.
    """
    return model.model_validate_json(json.dumps(value))


def plain_json(value: Any) -> str:
    """The JSON of plain data.

    Raises:
        TypeError: a reader would not get the same value back.
    """
    try:
        document = json.dumps(value, allow_nan=False, ensure_ascii=False)
        # A lone surrogate, which is half a character, has no bytes.
        document.encode()
        same = _equal(json.loads(document), value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"it has no form in JSON: {error}") from error

    if has_nul(document):
        raise TypeError("PostgreSQL takes no NUL character in a text: remove it")
    if not same:
        raise TypeError(
            "it would change in JSON, perhaps for a tuple or a key that is no text: give dicts "
            "with texts as keys, lists, texts, numbers, booleans and None alone"
        )
    return document


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    # Whatever `__eq__` raises.
    except Exception:  # noqa: BLE001
        # Values that cannot be compared, such as arrays, are read back as their own validators say.
        return True


def has_nul(document: str) -> bool:
    """Whether a text in a JSON document has the character NUL, which no text of PostgreSQL has."""
    # A backslash before it may be escaped itself, and then it is no escape.
    return "\\u0000" in document and ESCAPED_NUL.search(document) is not None
