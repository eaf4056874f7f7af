"""The type of an integer in a JSON body: `"10"` and `true` are none, as the API's document says."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_text(value: Any) -> Any:
    if isinstance(value, bool | str):
        # Pydantic would pass a TypeError on.
        raise ValueError("write an integer, without quotes")  # noqa: TRY004
    return value


# Pydantic takes `"10"` and `true` for an `int`; with `strict=True` it refuses `10.0`, which is an
# integer in JSON Schema. For a `float`, `Field(strict=True)` is right. Give bounds as a default,
# `days: Integer = Field(10, ge=1)`: in `Annotated[Integer, Field(ge=1)]` they are checked, but
# pydantic leaves them out of the document.
Integer = Annotated[int, BeforeValidator(_no_text)]
