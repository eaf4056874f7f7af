"""Upstreams of every kind of bad: an upstream that is well is asked beside them."""

import os
from collections import Counter
from itertools import count

import pytest
from experiment import Neighbour, again, experiment
from lab import Lab
from names import cannot_isolate

# The first experiment starts the lab, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

# Each group is attacked at once.
FAMILIES = {
    "upstreams that never end their answer": "silent half_head endless_head drip too_short",
    "upstreams that break off, or answer nonsense": (
        "reset torn cut garbage mangled broken too_long loop"
    ),
    "upstreams that send a gigabyte, or a bomb of gzip": "huge endless bomb",
}


def attack(lab: Lab, tried: str, bad: list[str], seconds: float) -> None:
    """Ask the bad upstreams in turn, each beside the one that is well."""
    statuses: Counter[int] = Counter()
    turns = count()

    def ask() -> None:
        name = bad[next(turns) % len(bad)]
        statuses[lab.get(f"/api/fan?bad={name}").status_code] += 1

    with experiment(tried, Neighbour.of(lab.web, "/api/fan"), lab.web, may_keep=8) as it:
        again(ask, seconds, threads=8)
        it.counted["fan-outs"] = statuses.total()
        it.lost += statuses.total() - statuses[200]
    assert statuses.total() >= len(bad), "each was asked"


@pytest.mark.parametrize("tried", FAMILIES)
def test_bad_upstreams_delay_no_other_upstream(lab: Lab, seconds: float, tried: str) -> None:
    attack(lab, tried, FAMILIES[tried].split(), 2 * seconds)


def test_names_that_hang_delay_no_other_upstream(lab: Lab, seconds: float) -> None:
    if reason := cannot_isolate():
        assert "REQUIRE_NETNS" not in os.environ, reason
        pytest.skip(reason)
    attack(lab, "six names that hang in DNS", [f"hanging{n}" for n in range(6)], 2 * seconds)
