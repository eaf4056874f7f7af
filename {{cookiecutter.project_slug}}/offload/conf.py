"""Every knob of `offload/`, typed, in one place: a service sets `OFFLOAD = Offload(...)` in its Django settings."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The limits of a service. A misspelt name is a `TypeError` at start; times are in seconds, sizes in bytes."""

    # serving
    lean: bool = True  # False: Django's stock handler, a thread for every request (docs/decisions/0001)
    api_prefixes: tuple[str, ...] = ("/api/", "/health/", "/metrics")  # answered through API_MIDDLEWARE
    probe_prefixes: tuple[str, ...] = ("/health/", "/metrics")  # never shed, and asked for by address
    requests_in_flight: int = 1000  # more are answered 503 at once: each costs some 100 kB, and waits longer than it helps
    streams_in_flight: int = 5000  # open event streams, counted apart: they wait, and that costs little
    body_limit: int = 10 * 1024 * 1024  # of a request; a 413 before it is read whole. A file upload may want more
    request_threads: int = 8  # kept, and so the database connections of a process; more only if these don't come back


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults where it says nothing."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
