"""The corpus: a net catches each mistake, most before anything runs; no right twin is reported."""

import pytest
from cases import CASES
from table import NETS, Result, cast_all, written_table

from offload_dev.lint import rules  # noqa: F401 - registers the rules
from offload_dev.lint.checks.registry import RULES

# What the watchdog sees of a borderline case is up to the machine.
WATCHDOG_COLUMN = 2 + NETS.index("watchdog")


@pytest.fixture(scope="module")
def result() -> Result:
    return cast_all()


def test_the_corpus_is_large_and_each_mistake_has_a_twin() -> None:
    assert len(CASES) >= 60
    assert all(case.source("wrong") and case.source("right") for case in CASES)


def test_every_rule_of_the_linter_has_a_mistake() -> None:
    graded = {number for number in RULES if not number.startswith("OFF0")}
    mistakes = {case.expect for case in CASES if case.expect.startswith("OFF")}
    assert graded - mistakes == set(), "no case of tests/guard/corpus expects them"
    assert mistakes - graded == set(), "a case of tests/guard/corpus expects them: no rule has them"


@pytest.mark.timeout(900)
def test_every_mistake_is_caught_by_some_net(result: Result) -> None:
    assert [case.name for case in CASES if not result.caught_by(case)] == []


@pytest.mark.timeout(900)
def test_all_but_three_are_caught_before_anything_runs(result: Result) -> None:
    late = [case.name for case in CASES if not result.before_run_time(case)]
    assert len(late) <= 3, late


@pytest.mark.timeout(900)
def test_each_mistake_gets_its_own_number(result: Result) -> None:
    said = {
        case.name: result.said["wrong"]["lint" if case.expect.startswith("OFF") else "checks"]
        for case in CASES
    }
    assert [
        case.name
        for case in CASES
        if case.expect not in ("none", *said[case.name].get(case.name, ()))
    ] == []


@pytest.mark.timeout(900)
def test_every_mistake_that_can_be_called_fails_its_test(result: Result) -> None:
    assert [
        case.name
        for case in CASES
        if case.runs("wrong") and case.name not in result.said["wrong"]["pytest"]
    ] == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("net", NETS)
def test_no_twin_is_blamed(result: Result, net: str) -> None:
    assert dict(result.said["right"][net]) == {}


@pytest.mark.timeout(900)
def test_the_table_in_the_docs_is_what_the_nets_say(result: Result) -> None:
    def without_watchdog(table: str) -> list[list[str]]:
        rows = (line.split(" | ") for line in table.splitlines() if line.startswith("| "))
        return [row[:WATCHDOG_COLUMN] + row[WATCHDOG_COLUMN + 1 :] for row in rows]

    assert without_watchdog(written_table()) == without_watchdog(result.table()), (
        "renew it: python tests/guard/table.py"
    )
