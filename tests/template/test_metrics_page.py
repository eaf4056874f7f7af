"""docs/reference/metrics.md: its tables are those of the code, and the names are as they should be.

The names follow prometheus.io/docs/practices/naming.
"""

import re
import sys
from pathlib import Path

from .conftest import run

PAGE = "docs/reference/metrics.md"

KINDS = {"counter", "gauge", "histogram"}
# Each of them has few values: what is declared, or a list in the code.
LABELS = {
    *("method", "route", "status", "limit", "place", "generation"),
    *("upstream", "kind", "queue"),
}


def test_the_tables_are_those_of_the_code(with_example: Path) -> None:
    checked = run(sys.executable, "-m", "offload_dev.metrics_page", "--check", cwd=with_example)
    assert checked.returncode == 0, f"{checked.stdout}In the template `make renew` does it."


def test_a_metric_that_is_not_on_the_page_is_noticed(without_example: Path) -> None:
    page = without_example / PAGE
    before = page.read_text()
    page.write_text(before.replace("offload_jobs_lost_total", "offload_jobs_gone_total"))
    command = (sys.executable, "-m", "offload_dev.metrics_page")
    checked = run(*command, "--check", cwd=without_example)
    assert (checked.returncode, "out of date" in checked.stdout) == (1, True)
    assert run(*command, cwd=without_example).returncode == 0
    # The queries above the tables are written by hand.
    assert "| `offload_jobs_lost_total` |" in page.read_text()
    page.write_text(before)


def test_names_and_labels_are_as_prometheus_asks(with_example: Path) -> None:
    rows = re.findall(
        r"^\| `(offload_\w+)` \| (\w+) \| (.*?) \| (.*) \|$",
        (with_example / PAGE).read_text(),
        re.MULTILINE,
    )
    assert len(rows) > 40
    for name, kind, labels, text in rows:
        assert kind in KINDS
        assert (kind == "counter") == name.endswith("_total"), name
        if kind == "histogram":
            assert name.endswith("_seconds"), name
        assert text.endswith("."), name
        assert set(re.findall(r"`(\w+)`", labels)) <= LABELS, name
    assert len({name for name, *_ in rows}) == len(rows)
