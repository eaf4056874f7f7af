"""The one origin that two values have: also two queries of one manager."""

from offload_dev.lint.source.names import ORM

LAZY = frozenset(ORM["lazy"])
# With one of them a query has other rows, or knows more of its rows: it is the one that counts.
DECIDE = ("values", "values_list", "dates", "datetimes", "select_related", "prefetch_related")


def joined(first: str, second: str) -> str:
    """The origin that both have; empty if they are not the same.

    `Order.objects.filter(…) if name else Order.objects` is a query of `Order.objects`, whichever of
    the two it is.
    """
    if first == second or not (first and second):
        return first if first == second else ""
    (head, *_), (other, *_) = heads = _split(first), _split(second)
    is_manager = head.rpartition(".")[2] in ORM["managers"] or all(len(each) > 1 for each in heads)
    if head != other or not is_manager:
        return ""
    deciding = (each for each in (first, second) if not set(DECIDE).isdisjoint(each.split(".")))
    return next(deciding, first)


def _split(origin: str) -> list[str]:
    """What a query begins with, and the lazy methods that follow."""
    parts = origin.split(".")
    last = len(parts)
    while last > 1 and parts[last - 1] in LAZY:
        last -= 1
    return [".".join(parts[:last]), *parts[last:]]
