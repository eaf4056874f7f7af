"""The benchmark measures the real service, and its verdicts follow from the figures.

A verdict can go against the rule, too.
"""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import picture, report
from benchmarks.load import Answers
from benchmarks.measure import Figures, Spent, Turn, figures, quantile
from benchmarks.rows import COMPUTING_SECONDS, MANY, ROWS
from benchmarks.verdict import JUDGES, trust

from .conftest import BIN, SHARED, run

PLAIN = Figures(
    requests=100,
    per_second=100.0,
    p50=10.0,
    p99=20.0,
    cpu=2.0,
    cpu_web=2.0,
    threads=10,
    connections=8,
    neighbour_p50=2.0,
    neighbour_p99=4.0,
    neighbour_worst=5.0,
    failed={},
    refused=0.0,
    other_programs=0.0,
)


def world(row: str, **ways: dict[str, Any]) -> dict[str, Figures]:
    """A row's figures where all ways are alike, but for what is told."""
    names = next(each for each in ROWS if each.name == row).ways
    return {way.name: replace(PLAIN, **ways.get(way.name.replace("-", "_"), {})) for way in names}


# Each row twice: with figures for which the rule is right, and with figures for which it is wrong.
# The last two strings stand in one of the two sentences each.
WORLDS = [
    (
        "waiting",
        {"async": {"per_second": 900.0}},
        {"async": {"per_second": 80.0}},
        "9.0 times the throughput",
        "0.80 of the throughput",
    ),
    (
        "waiting",
        {"async": {"per_second": 900.0}},
        {"worker": {"per_second": 300.0}},
        "a worker 0.11",
        "a worker 3.00",
    ),
    (
        "waiting",
        {"async": {"per_second": 900.0}},
        {"async": {"per_second": 900.0}, "threads": {"per_second": 900.0}},
        "wait on the event loop",
        "may stay in a sync view, a thread pool",
    ),
    ("orm", {}, {"async": {"per_second": 200.0}}, "leave such a view sync", "against the rule"),
    (
        "orm",
        {},
        {"worker": {"per_second": 200.0}},
        "A worker had about the same throughput",
        "A worker had 2.0 times the throughput",
    ),
    (
        "computing",
        {"async": {"neighbour_p99": 512.0}, "threads": {"neighbour_p99": 200.0}},
        {},
        "froze every other request",
        "may stay where it is",
    ),
    (
        "computing",
        {"async": {"neighbour_p99": 512.0}, "threads": {"neighbour_p99": 200.0}},
        {"async": {"neighbour_p99": 512.0}},
        "compute in processes",
        "a thread pool does as well",
    ),
    (
        "middleware",
        {"sync_only": {"per_second": 20.0}},
        {},
        "0.20 of the throughput",
        "does no harm",
    ),
    ("middleware", {"sync_only": {"cpu": 6.0}}, {}, "3.0 times the CPU", "does no harm"),
    (
        "blocking",
        {"blocking": {"neighbour_p99": 200.0}},
        {},
        "one such line is enough",
        "does no harm",
    ),
    ("unbounded", {"unbounded": {"refused": 0.6}}, {}, "60% were refused", "a bound gains nothing"),
    ("held", {"held": {"connections": 40}}, {}, "used 40 connections", "they may be kept"),
    (
        "crowd",
        {"sync": {"threads": 500, "p99": 4000.0}},
        {},
        "4.0 s on 500",
        "threads wait as well",
    ),
]


@pytest.mark.parametrize(("row", "right", "wrong", "says", "says_instead"), WORLDS)
def test_every_verdict_can_come_out_the_other_way(
    row: str, right: dict[str, Any], wrong: dict[str, Any], says: str, says_instead: str
) -> None:
    usual, other = (JUDGES[row](world(row, **ways)) for ways in (right, wrong))
    assert (usual.holds, other.holds) == (True, False)
    assert says in usual.sentence
    assert says not in other.sentence
    assert says_instead in other.sentence
    assert says_instead not in usual.sentence


def test_every_row_has_its_judge_and_every_judge_was_tried_both_ways() -> None:
    assert [row.name for row in ROWS] == list(JUDGES)
    assert {row for row, *_ in WORLDS} == set(JUDGES)


@pytest.mark.parametrize(
    ("count", "median", "p99"), [(1, 1, 1), (2, 1, 2), (100, 50, 99), (500, 250, 495)]
)
def test_a_quantile_is_the_nearest_rank(count: int, median: int, p99: int) -> None:
    backwards = [float(number) for number in range(count, 0, -1)]
    assert (quantile(backwards, 0.5), quantile(backwards, 0.99)) == (median, p99)


def test_a_ways_turns_are_taken_together() -> None:
    slow = Turn(
        Answers([30.0, 40.0], failed=Counter({"status 503": 1}), seconds=2.0),
        [9.0],
        Spent(0.4, 0.2, 0.0),
        2.0,
        9,
        4,
    )
    quick = Turn(
        Answers([10.0, 20.0], refused=MANY, seconds=2.0),
        [1.0, 2.0],
        Spent(0.2, 0.0, 0.0),
        2.0,
        5,
        8,
    )
    found = figures([slow, quick])
    assert (found.requests, found.per_second, found.p50, found.p99) == (4, 1.0, 20.0, 40.0)
    assert (found.cpu, found.cpu_web) == (pytest.approx(200.0), pytest.approx(150.0))
    assert (found.threads, found.connections, found.failed, found.refused) == (
        9,
        8,
        {"status 503": 1},
        0.25,
    )
    assert (found.neighbour_p50, found.neighbour_worst) == (2.0, 9.0)


def test_a_noisy_machine_and_failed_requests_are_told() -> None:
    quiet = {"orm": world("orm")}
    assert trust(quiet) == ""
    assert "40% of this machine (row orm, way sync)" in trust(
        {"orm": world("orm", sync={"other_programs": 0.4})}
    )
    failed = {"status 503": 2, "job failed": 1}
    told = trust({"orm": world("orm", sync={"failed": failed})})
    assert "3 requests failed (status 503: 2, job failed: 1)" in told


def test_the_pictures_show_who_wins_and_who_suffers(tmp_path: Path) -> None:
    found = {row.name: world(row.name) for row in ROWS}
    found["computing"] = world(
        "computing", **{"async": {"neighbour_p99": 500.0, "per_second": 300.0}}
    )
    document = report.document(list(ROWS), found)
    files = picture.draw(document, tmp_path)
    assert {file.name for file in files} == {
        f"{name}.{kind}" for name in ["overview", *JUDGES] for kind in ("svg", "png")
    }
    assert all(file.stat().st_size > 5_000 for file in files)
    assert picture.HARM.lower() in (tmp_path / "overview.svg").read_text().lower()
    assert picture.winners(document["rows"]["computing"]["ways"]) == {
        "sync",
        "sync_to_async",
        "threads",
        "worker",
    }


@pytest.mark.timeout(900)
def test_make_bench_measures_draws_and_says_what_it_means(
    with_example: Path, tmp_path: Path
) -> None:
    asked = f"ARGS=--quick --only computing,unbounded --out {tmp_path}"
    ran = run("make", "bench", *SHARED, asked, cwd=with_example)
    assert ran.returncode == 0, ran.stdout
    found = json.loads((tmp_path / "result.json").read_text())
    assert list(found["rows"]) == ["computing", "unbounded"]
    ways = {row: it["ways"] for row, it in found["rows"].items()}
    assert list(ways["computing"]) == ["async", "sync", "sync_to_async", "threads", "worker"]
    measured = {f"{row} {way}": it for row in ways for way, it in ways[row].items()}
    assert all(it["requests"] > 0 and it["cpu"] > 0 for it in measured.values())
    assert {way: it["failed"] for way, it in measured.items() if it["failed"]} == {}
    # The worker did the work: its own CPU alone. That of the web process grows with the time that
    # a busy machine takes, since the neighbour's requests go on.
    worker = ways["computing"]["worker"]
    assert worker["cpu"] - worker["cpu_web"] > COMPUTING_SECONDS * 1000 / 2
    assert ways["unbounded"]["unbounded"]["refused"] > 0 == ways["unbounded"]["bounded"]["refused"]
    printed = " ".join(ran.stdout.split())
    assert all(verdict["sentence"] in printed for verdict in found["verdicts"])
    assert (tmp_path / "overview.svg").exists()
    assert (tmp_path / "unbounded.png").exists()


def test_a_row_that_there_is_not_is_refused_with_those_that_there_are(with_example: Path) -> None:
    ran = run(BIN / "python", "-m", "benchmarks", "--only", "orm,nonsense", cwd=with_example)
    assert ran.returncode == 2
    assert "there is no row nonsense: choose from waiting, orm" in ran.stdout
