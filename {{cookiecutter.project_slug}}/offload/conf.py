"""Every knob of `offload/`, typed, in one place: a service sets `OFFLOAD = Offload(...)` in its Django settings."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The limits of a service. A misspelt name is a `TypeError` at start; times are in seconds, sizes in bytes."""

    request_deadline: float = 10.0  # a request's upstream calls altogether: few callers wait longer for an answer


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults where it says nothing."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
