"""Request threads: borrowed at a request's first sync call, its alone, given back at its end."""


async def release() -> None:
    """Give the request's thread and database connection back before a long wait; without one, nothing happens."""
