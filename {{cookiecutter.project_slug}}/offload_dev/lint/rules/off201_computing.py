"""OFF201: a call computes on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import COMPUTING
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

# They are slow by design or with much data. A thread is enough for them.
SLOW = Patterns(
    "django.contrib.auth.hashers.{make_password,check_password}",
    "*.{check_password,set_password}",
    "hashlib.{pbkdf2_hmac,scrypt}",
    "bcrypt.*",
    "argon2.*",
    "*.generate_private_key",
    "{gzip,zlib,bz2,lzma}.{compress,decompress}",
    "django.shortcuts.render",
    "django.template.loader.render_to_string",
)
# They are quick with little data, so they are only warnings.
SLOW_WITH_MUCH_DATA = Patterns(
    "{gzip,zlib,bz2,lzma}.*",
    "django.shortcuts.render",
    "django.template.loader.render_to_string",
    "csv.*",
)
# These coroutines hash on the event loop in Django 5.2 (contrib/auth/hashers.py).
SLOW_COROUTINES = Patterns(
    "*.acheck_password", "django.contrib.auth.{aauthenticate,hashers.acheck_password}"
)


@rule(
    "OFF201",
    message="computes on the event loop",
    instead="a job; for a password, the sync function in a thread, "
    "as in `await sync_to_async(authenticate)(…)`",
    target=Target.THREAD,
)
def computing(function: Function) -> Iterator[Violation]:
    """Finds calls that compute for long: numpy, pandas, images, archives, password hashes.

    No other request moves while the event loop's thread computes.
    """
    for call in function.calls:
        if call.awaited:
            if SLOW_COROUTINES.matches(call.origin):
                yield call_violation(call.node)
            continue

        is_library = COMPUTING.matches(call.origin)
        if is_library or SLOW.matches(call.origin):
            likely = "slow with much data" if SLOW_WITH_MUCH_DATA.matches(call.origin) else ""
            yield call_violation(call.node, likely=likely, computes=is_library)
