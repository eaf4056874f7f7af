"""The callables of ASGI, and what a room opens at start."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

# What the server tells of a connection; it is ASGI's word.
Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a room opens at start and closes at the end. It is given the state of the process
# (`scope["state"]`), and leaves there what requests need.
Lifespan = Callable[[dict[str, Any]], AbstractAsyncContextManager[None]]
