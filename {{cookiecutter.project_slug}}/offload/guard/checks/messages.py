"""What a check of the guard says: the place, what to write instead, and the page about it."""

from django.core import checks

TAG = "offload"
DOCS = "docs/guard/"


def error(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that stops the start.

    Args:
        number: the name of its page in docs/guard/, such as `E701`.
        what: a sentence that names the place and the fault.
        instead: what to write instead.
    """
    return checks.Error(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")


def warning(number: str, what: str, instead: str) -> checks.CheckMessage:
    """A finding that is logged at start; arguments as for `error`."""
    return checks.Warning(what, hint=f"{instead} ({DOCS}{number}.md)", id=f"{TAG}.{number}")
