"""The ASGI callables as this room writes them down."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a room brings to open at start and close at the end; it leaves its things in the state
# (`scope["state"]`).
Lifespan = Callable[[dict[str, Any]], AbstractAsyncContextManager[None]]
