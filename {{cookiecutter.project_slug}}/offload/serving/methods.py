"""The methods of HTTP: which of them are served, and which change nothing."""

# The methods of HTTP (RFC 9110, RFC 5789) without CONNECT, which is for proxies, and TRACE, which
# shows a browser's secret headers to its scripts.
SERVED_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The methods that change nothing (RFC 9110, section 9.2.1).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def method_label(method: str) -> str:
    """The method as a metric's label. Clients could make as many series as a parser has methods.

    OpenTelemetry calls the others `_OTHER`, too.
    """
    return method if method in SERVED_METHODS else "_OTHER"
