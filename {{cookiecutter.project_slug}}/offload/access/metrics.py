"""The metrics of access."""

from offload.observe import Counter

REFUSED = Counter(
    "offload_access_over_quota_total",
    "Requests answered 429 because their caller's quota was used up.",
    ["limit"],
)
UNCOUNTED = Counter(
    "offload_access_uncounted_total",
    "Requests of callers with a quota that Redis did not count in time.",
)
# Prometheus sees no increase in a first value of 1.
for _limit in ("owner", "address"):
    REFUSED.labels(_limit)
