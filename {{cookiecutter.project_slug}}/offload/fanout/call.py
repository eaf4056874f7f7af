"""A call described and not yet made: `gather` makes many at once, `await` makes one and raises if
it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter
from yarl import URL

from offload.serving import release

from .journey import travel
from .outcome import Outcome

if TYPE_CHECKING:
    from .answer import Answer
    from .http import httpx
    from .upstream import Upstream

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to one upstream, and how its response is read. Made by `Upstream.get_json` and
    its like.
    """

    upstream: Upstream
    method: str
    url: URL
    # Secrets among them stay out of logs.
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)
    idempotent: bool
    decode: Callable[[Answer], T]

    @property
    def key(self) -> tuple[Any, ...] | None:
        """What the answer of a read depends on, None for anything else. The headers say who asks:
        nobody is given another's answer.
        """
        return (
            (self.method, self.url, self.headers)
            if self.method in ("GET", "HEAD") and self.body is None
            else None
        )

    def read(self, reader: Callable[[httpx.Response], U]) -> Call[U]:
        """The same call, its value made by `reader`; a `ValueError` there is an outcome, `error`."""
        return self._with(lambda answer: reader(answer.response()))

    def into(self, model: type[U]) -> Call[U]:
        """The same call, its JSON validated as `model`: a pydantic model, a dataclass,
        `list[Price]`...
        """
        adapter: TypeAdapter[U] = _adapter(model)
        return self._with(lambda answer: adapter.validate_json(answer.body))

    def _with(self, decode: Callable[[Answer], U]) -> Call[U]:
        return cast("Call[U]", replace(self, decode=cast(Any, decode)))

    async def outcome(self) -> Outcome[T]:
        """Make the call and tell what became of it. Raises nothing but mistakes in the calling
        code.
        """
        await release()
        return (await travel({self.upstream.name: self}))[self.upstream.name]

    def __await__(self) -> Generator[Any, None, T]:
        """Make the call for its value, which is then required: a failure is a 503 `Problem`."""
        return self._required().__await__()

    async def _required(self) -> T:
        await release()
        outcomes = await travel({self.upstream.name: self}, required=[self.upstream.name])
        return cast(T, outcomes[self.upstream.name].value)


# A model's validator is built once.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
