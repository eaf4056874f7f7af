"""Which paths belong to a setting such as `Offload.probe_prefixes`."""

from collections.abc import Iterable


class PathPrefixes:
    """Paths that begin with one of these prefixes, where a part of the path ends.

    `/health/` is all below it. `/metrics` is itself and all below it, and not `/metricsfoo`.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._exact = frozenset(prefixes)
        self._prefixes = tuple(prefix.rstrip("/") + "/" for prefix in self._exact)

    def match(self, path: str) -> bool:
        """Whether the path belongs to one of them."""
        return path.startswith(self._prefixes) or path in self._exact
