"""What each response carries, also one that is sent before Django: its id, the security headers."""

import os
import re

from django.conf import settings

from offload.conf import conf

FRAME_OPTIONS = "X-Frame-Options"
# The id goes into logs and headers, so it has no spaces and no line ends.
SANE = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


def choose_request_id(sent: str) -> str:
    """The id that the caller sent, if it is sane; else 32 random hexadecimal digits."""
    return sent if SANE.fullmatch(sent) else os.urandom(16).hex()


def plain_headers() -> dict[str, str]:
    """The headers for every response, as the settings say."""
    headers: dict[str, str] = {FRAME_OPTIONS: settings.X_FRAME_OPTIONS}
    if settings.SECURE_CONTENT_TYPE_NOSNIFF:
        headers["X-Content-Type-Options"] = "nosniff"
    if policy := settings.SECURE_REFERRER_POLICY:
        headers["Referrer-Policy"] = policy if isinstance(policy, str) else ",".join(policy)
    if settings.SECURE_CROSS_ORIGIN_OPENER_POLICY:
        headers["Cross-Origin-Opener-Policy"] = settings.SECURE_CROSS_ORIGIN_OPENER_POLICY
    policies = {
        "Content-Security-Policy": conf().content_security_policy,
        "Permissions-Policy": conf().permissions_policy,
    }
    headers |= {name: policy for name, policy in policies.items() if policy}
    return headers
