"""Call limits: what bounds one call, where the upstream's own limits do not fit it."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Limits of one call; `None` is the upstream's. Seconds and bytes; see `UpstreamLimits`."""

    timeout: float | None = None
    attempt_timeout: float | None = None
    # Requests of the call, the first one included; see `Retry.attempts`.
    attempts: int | None = None
    max_bytes: int | None = None
    # Whether a kept response may not stand in for the call before it was tried.
    skip_cache: bool = False

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name != "skip_cache" and value is not None and not value > 0:
                raise ValueError(f"{limit.name} has to be above 0, and is {value}")
