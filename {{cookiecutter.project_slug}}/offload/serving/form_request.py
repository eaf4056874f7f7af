"""Django's request, whose large forms are parsed one after the other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from django.core.handlers.asgi import ASGIRequest

FORM = "application/x-www-form-urlencoded"
# A form that is larger is parsed in turn. This much takes 1.2 MB to parse.
LARGE_BYTES = 16 * 1024

# One thread, not a lock: what a thread's memory has grown to, it keeps. The largest form
# (`Offload.form_limit`) takes 20 MB, which all request threads together would keep 128 times.
_parser = ThreadPoolExecutor(1, thread_name_prefix="form-parser")


class FormRequest(ASGIRequest):
    """A request whose large form is parsed in a thread that all requests share.

    Django's check of CSRF tokens parses a form before anybody has logged in.
    """

    def _load_post_and_files(self) -> None:
        parse = super()._load_post_and_files
        if self.content_type != FORM or self._announced_bytes() <= LARGE_BYTES or _is_on_loop():
            # The loop parses one after the other in any case, and must not wait for a thread.
            parse()
        else:
            _parser.submit(parse).result()

    def _announced_bytes(self) -> float:
        """The length of the body; infinite for one in chunks."""
        return float(self.META.get("CONTENT_LENGTH") or "inf")


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
