"""The calculator of capacity: its arithmetic by hand, its figures, and one short measurement."""

import itertools
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks.capacity.__main__ import figure
from benchmarks.capacity.bounds import uses
from benchmarks.capacity.costs import FIGURES, Costs
from benchmarks.capacity.drawn import drawn
from benchmarks.capacity.model import JOBS_OF_A_PROCESS, Traffic, need
from offload.conf import Offload

from .conftest import ROOT, run

# Round numbers, to be checked by hand.
ZEROS = Costs(**dict.fromkeys((field.name for field in fields(Costs)), 0.0))
NOTHING = replace(ZEROS, web_mixture=1.0, worker_mixture=1.0)
COSTS = replace(
    NOTHING, web_idle=10, request=1, query=2, row=0.5, call=0.25, submit=4, job=50, worker_idle=5
)


def test_what_a_traffic_needs_is_the_sum_of_its_parts() -> None:
    traffic = Traffic(
        requests=100, queries=1, rows=2, calls=4, jobs=10, job_seconds=0.3, processes_per_host=2
    )
    found = need(traffic, COSTS, Offload())
    # 100 requests of 1 + 2 + 1 + 1 ms, 10 submits of 1 + 4 ms, and one idle process or more.
    assert found.web_processes == 1
    assert found.web_cpu == pytest.approx(0.5 + 0.05 + 0.01)
    # Jobs of 0.35 s keep 3.5 processes busy, which are to be busy for 0.7 of their time.
    assert (found.worker_processes, found.workers) == (5, 3)
    assert found.worker_cpu == pytest.approx(3.5 + 3 * 0.005)
    # 100 queries, 3 statements of each job, and those of 1 web process and 3 workers.
    assert found.statements == 100 + 30 + 5 + 9
    # Request threads have 20 at most, a web process 3 more, a worker 2, each that computes one.
    assert found.connections == 23 + 3 * 2 + 5
    assert found.rows == 10 * 7 * 86400


def test_a_mixture_costs_more_than_its_kinds_but_no_more_of_what_runs_anyway() -> None:
    traffic = Traffic(requests=100, queries=1, rows=2, jobs=10, job_seconds=0.3, reports=1)
    one, mixed = COSTS, replace(COSTS, web_mixture=1.5, worker_mixture=2.0)
    before, after = need(traffic, one, Offload()), need(traffic, mixed, Offload())
    # 400 ms of requests and 50 of submits; the 10 of each process's own stay.
    assert before.web_cpu == pytest.approx(0.45 + before.web_processes * 0.01)
    assert after.web_cpu == pytest.approx(0.45 * 1.5 + after.web_processes * 0.01)
    # 10 x 50 ms around the functions; their 300 ms each stay, and the worker's own 5.
    assert before.worker_cpu == pytest.approx(3.0 + 0.5 + before.workers * 0.005)
    assert after.worker_cpu == pytest.approx(3.0 + 1.0 + after.workers * 0.005)


def test_a_job_pays_its_share_of_a_process_that_is_replaced() -> None:
    traffic = Traffic(jobs=10, job_seconds=0)
    costs = replace(NOTHING, job=7, renewal=200)
    # 200 ms for 200 jobs are 1 ms each.
    assert need(traffic, costs, Offload()).worker_cpu == pytest.approx(0.08)
    settings = (ROOT / "{{cookiecutter.project_slug}}" / "config" / "celery.py").read_text()
    assert f"worker_max_tasks_per_child={JOBS_OF_A_PROCESS}," in settings


def test_loads_are_drawn_again_by_their_seed_and_differ_without_it() -> None:
    first, again, other = (list(drawn(seed)) for seed in (1, 1, 2))
    assert [trial.traffic for trial in first] == [trial.traffic for trial in again]
    assert first[0].traffic != other[0].traffic
    for trial in (*first, *other):
        *requests, jobs = trial.rates
        assert sum(rate.per_second for rate in requests) == pytest.approx(trial.traffic.requests)
        assert jobs.per_second == trial.traffic.jobs


def test_streams_alone_need_processes() -> None:
    found = need(Traffic(streams=100_000), replace(NOTHING, stream_kb=50), Offload())
    assert found.web_processes == 25, "each has 4,000 of its 5,000 places in use"
    assert found.web_mb == 5000


def test_more_traffic_never_needs_less() -> None:
    traffic, costs = Traffic(requests=50, calls=2, jobs=3, streams=500), Costs.read()
    needs = [need(traffic.times(factor), costs, Offload()) for factor in (0, 1, 3, 10, 100)]
    for smaller, larger in itertools.pairwise(needs):
        for name, value in vars(smaller).items():
            if name != "publishes_per_process":
                assert vars(larger)[name] >= value, name


def test_what_breaks_first_stands_first_and_has_a_remedy() -> None:
    traffic = Traffic(requests=10_000, jobs=278, streams=100_000, reports=1)
    costs, limits = Costs.read(), Offload()
    found = uses(traffic, need(traffic, costs, limits), costs, limits, cores=4)
    shares = [use.share for use in found]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1
    assert all(use.then for use in found)
    more = uses(traffic, need(traffic, costs, limits), costs, limits, cores=400)
    assert {use.what: use.share for use in more} != {use.what: use.share for use in found}


def test_a_file_of_figures_lacks_none_and_has_none_too_many(tmp_path: Path) -> None:
    costs = Costs.read()
    costs.write(tmp_path / "own.toml", "a test")
    assert Costs.read(tmp_path / "own.toml") == costs
    text = FIGURES.read_text()
    for wrong in (re.sub("^job = .*$", "", text, flags=re.MULTILINE), text + "\nnonsense = 1\n"):
        (tmp_path / "wrong.toml").write_text(wrong)
        with pytest.raises(TypeError, match=r"'job'|nonsense"):
            Costs.read(tmp_path / "wrong.toml")


def test_a_new_project_says_what_it_needs_without_a_service(without_example: Path) -> None:
    command = ("-m", "benchmarks.capacity", "--requests", "100", "--jobs", "3", "--quota")
    said = run(sys.executable, *command, cwd=without_example, COLUMNS="200")
    assert said.returncode == 0, said.stdout
    for part in ("1 x", "100 x", "connections of PostgreSQL", "places of a queue"):
        assert part in said.stdout


def test_a_figure_is_written_without_an_exponent() -> None:
    written = [figure(each) for each in (0, 0.0009, 0.3264, 28, 36.89, 1140.2, 1.681e8)]
    assert written == ["0", "< 0.01", "0.33", "28", "36.9", "1,140", "168,100,000"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("--calls", "many"),
        ("--jobs", "-1"),
        ("--requests", "nan"),
        ("--streams", "inf"),
        ("--processes-per-host", "0"),
        ("--database-cores", "0"),
        ("--costs", "no-such-file"),
        ("--costs", "pyproject.toml"),
    ],
)
def test_a_wrong_argument_is_told_in_a_line(without_example: Path, name: str, value: str) -> None:
    wrong = run(sys.executable, "-m", "benchmarks.capacity", name, value, cwd=without_example)
    assert wrong.returncode == 2, wrong.stdout
    assert "benchmarks.capacity: error: argument" in wrong.stdout
    assert "Traceback" not in wrong.stdout


@pytest.mark.timeout(900)
def test_one_command_measures_this_machine_and_tries_the_predictions(with_example: Path) -> None:
    command = ("-m", "benchmarks.capacity", "--measure", "--verify", "--seconds", "1")
    measured = run(sys.executable, *command, cwd=with_example, COLUMNS="200")
    assert measured.returncode == 0, measured.stdout
    assert measured.stdout.count("%") == 10, measured.stdout
    own = Costs.read(with_example / "var" / "capacity" / "costs.toml")
    # On a busy machine a load of one second does not say which cost is larger.
    assert own.request > 0
    assert own.process_mb > 1
    (with_example / "var" / "capacity" / "costs.toml").unlink()
