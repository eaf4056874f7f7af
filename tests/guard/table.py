"""Runs every net over the corpus, and makes the table mistake x net. `python tests/guard/table.py`
renews the docs.
"""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nets
from cases import CASES, Case, lay_out

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
NUMBERS = "../{{cookiecutter.project_slug}}/docs/guard"
BEGIN, END = "<!-- table: tests/guard/table.py writes it -->\n", "<!-- end of table -->\n"
# What reads only the source, and with the checks what `make check` and `manage.py check` run.
STATIC = ("ruff", "mypy", "lint")
BEFORE_RUN_TIME = (*STATIC, "checks")
# What calls the cases.
AT_RUN_TIME = ("watchdog", "pytest")
NETS = (*BEFORE_RUN_TIME, *AT_RUN_TIME)
HEADS = ("ruff", "mypy", "`offload_dev.lint`", "checks", "watchdog", "pytest plugin")


@dataclass(frozen=True)
class Result:
    """What each net said of each half: `said["wrong"]["ruff"][case]`."""

    said: dict[str, dict[str, nets.Caught]]

    def caught_by(self, case: Case) -> list[str]:
        return [net for net in NETS if self.said["wrong"][net].get(case.name)]

    def before_run_time(self, case: Case) -> bool:
        """Whether a net catches it that runs before the service does."""
        return not set(BEFORE_RUN_TIME).isdisjoint(self.caught_by(case))

    def row(self, case: Case) -> str:
        caught, called = self.caught_by(case), case.runs("wrong")
        marks = [
            "●" if net in caught else "·" if called or net not in AT_RUN_TIME else ""
            for net in NETS
        ]
        title = f"[{case.title}](../tests/guard/corpus/{case.family}/{case.name}.md)"
        number = f"[{case.expect}]({NUMBERS}/{case.expect}.md)" if case.expect != "none" else "none"
        return f"| {title} | {number} | {' | '.join(marks)} |"

    def table(self) -> str:
        head = f"| mistake | number | {' | '.join(HEADS)} |\n|{'---|' * (len(HEADS) + 2)}\n"
        early, all_caught = (
            sum(map(self.before_run_time, CASES)),
            sum(bool(self.caught_by(case)) for case in CASES),
        )
        share = f"{early / len(CASES):.0%}"
        sums = (
            f"{len(CASES)} mistakes: {early} caught before run time ({share}),"
            f" {all_caught} by some net.\n"
        )
        return f"{sums}\n{head}" + "\n".join(map(self.row, CASES)) + "\n"


def cast_all() -> Result:
    """Every net over both halves: about a minute on two cores."""
    # Half of them sleep most of the time.
    with TemporaryDirectory() as directory, ThreadPoolExecutor(4) as pool:
        jobs: dict[str, dict[str, Future[nets.Caught]]] = {}
        for half in ("wrong", "right"):
            tree = lay_out(half, Path(directory) / half)
            runnable = [case.name for case in CASES if case.runs(half)]
            jobs[half] = {
                net: pool.submit(getattr(nets, net), tree, runnable) for net in AT_RUN_TIME
            }
            jobs[half] |= {net: pool.submit(getattr(nets, net), tree) for net in BEFORE_RUN_TIME}
        return Result(
            {
                half: {net: job.result() for net, job in found.items()}
                for half, found in jobs.items()
            }
        )


def written_table() -> str:
    """The table as the docs have it."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    result = cast_all()
    PAGE.write_text(before + BEGIN + result.table() + END + rest.partition(END)[2])
    false = {
        (net, case): said
        for net, found in result.said["right"].items()
        for case, said in found.items()
    }
    print(result.table().partition("\n")[0], f"False alarms: {false or 'none'}.")
    sys.exit(bool(false))
