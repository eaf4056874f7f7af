import contextlib
import contextvars

_context: contextvars.ContextVar[dict | None] = contextvars.ContextVar("analytics", default=None)


@contextlib.contextmanager
def new_context():
    token = _context.set({"tags": {}, "user": None})
    try:
        yield
    finally:
        _context.reset(token)


def tag(key: str, value) -> None:
    current = _context.get()
    if current is not None:
        current["tags"][key] = value


def identify(user_id: str) -> None:
    current = _context.get()
    if current is not None:
        current["user"] = user_id
