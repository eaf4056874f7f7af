"""The architecture page: its files exist, and a real request and job pass them in its order."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

RISK = {"holdings": {"ACME": 10, "GLOBEX": 3}, "horizon_days": 10, "simulations": 200_000}
TRACER = Path(__file__).parent / "tracer"
# A traced service starts slowly.
pytestmark = pytest.mark.timeout(900)
# From the view to the socket, and from the view to the last event.
MAX_FILES_OF_A_FAN_OUT = 14
MAX_FILES_OF_A_JOB = 30

# Runs in the generated project. It prints the moments, in nanoseconds of the monotonic clock,
# before and after each of the two requests.
DRIVER = """
import json, sys, time
from pathlib import Path
from offload_dev.pytest.running_service import run_service

folder, tracer, trace, root, risk = sys.argv[1:]
variables = {"PYTHONPATH": tracer, "TRACE_FILE": trace, "TRACE_ROOT": root}
with run_service(Path(folder), **variables) as service:
    moments = [time.monotonic_ns()]
    service.client.get("/api/portfolio/quotes?symbols=ACME").raise_for_status()
    moments.append(time.monotonic_ns())
    accepted = service.client.post("/api/portfolio/risk", json=json.loads(risk))
    assert accepted.status_code == 202, accepted.text
    with service.client.stream("GET", accepted.headers["location"] + "/events") as events:
        assert "event: succeeded" in list(events.iter_lines())
    moments.append(time.monotonic_ns())
print(json.dumps(moments))
"""


class Step(NamedTuple):
    file: str
    function: str


class Call(NamedTuple):
    moment: int
    step: Step


def tables(page: str) -> list[list[Step]]:
    """The steps of each table whose first column is `file`."""
    found: list[list[Step]] = []
    for line in page.splitlines():
        if line.startswith("| file "):
            found.append([])
        elif step := re.match(r"\| `([\w./]+\.py)` \| (?:`([\w.]+)`)? ?\|", line):
            found[-1].append(Step(step[1], step[2] or ""))
    return found


@pytest.fixture(scope="module")
def page(with_example: Path) -> str:
    text = (with_example / "docs" / "architecture.md").read_text()
    return text.replace("{package}", "risk_desk")


@pytest.fixture(scope="module")
def journeys(with_example: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[Call]]:
    """The calls during the fan-out, and those during the job, in the order of time."""
    folder = tmp_path_factory.mktemp("trace")
    trace = folder / "calls"
    arguments = [folder, TRACER, trace, with_example, json.dumps(RISK)]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *map(str, arguments)],
        cwd=with_example,
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    start, middle, end = json.loads(done.stdout)
    calls = sorted(read(trace))
    return [
        [call for call in calls if start <= call.moment < middle],
        [call for call in calls if middle <= call.moment < end],
    ]


def read(trace: Path) -> Iterator[Call]:
    for line in trace.read_text().splitlines():
        moment, file, function = line.split(" ", 2)
        yield Call(int(moment), Step(file, function))


def test_every_file_that_the_page_names_exists(with_example: Path, page: str) -> None:
    named = set(re.findall(r"`((?:offload|offload_dev|config|risk_desk|docs)/[\w./]+)`", page))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (with_example / name).exists()] == []


def test_the_page_has_every_layer_of_a_request_in_its_order(with_example: Path, page: str) -> None:
    source = (with_example / "offload" / "serving" / "application.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    stack = next(call for call in calls if ast.unparse(call.func) == "in_layers").args
    # A layer with settings is `partial(Layer, ...)`.
    layers = [each.args[0] if isinstance(each, ast.Call) else each for each in stack]
    functions = [f"{ast.unparse(layer)}.__call__" for layer in layers]
    assert len(functions) >= 10
    shown = [step.function for step in tables(page)[0] if step.function in functions]
    assert shown == functions, (
        "docs/architecture.md, the table below `Every request, up to its view`"
    )


def test_a_fan_out_and_a_job_take_no_more_files_than_a_person_can_follow(page: str) -> None:
    _, fan_out, *job = tables(page)
    files = {step.file for step in fan_out}
    assert len(files) == len(fan_out) <= MAX_FILES_OF_A_FAN_OUT
    files |= {step.file for table in job for step in table}
    assert len(files) <= MAX_FILES_OF_A_JOB


def test_the_page_names_every_file_of_fan_out_that_a_request_passes(
    page: str, journeys: list[list[Call]]
) -> None:
    passed = {
        call.step.file for call in journeys[0] if call.step.file.startswith("offload/fanout/")
    }
    listed = {step.file for table in tables(page)[:2] for step in table}
    helpers = re.search(r"Not counted are small helpers(.*?)\n\n", page, re.DOTALL)
    assert helpers is not None
    listed |= {f"offload/fanout/{name}.py" for name in re.findall(r"`(\w+)`", helpers[1])}
    assert passed - listed == set()


@pytest.mark.parametrize(
    ("table", "journey"),
    [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)],
    ids=["request", "fan-out", "submit", "worker", "event"],
)
def test_the_files_are_passed_in_the_order_of_the_page(
    page: str, journeys: list[list[Call]], table: int, journey: int
) -> None:
    steps = [step for step in tables(page)[table] if step.function]
    first = {}
    for call in journeys[journey]:
        first.setdefault(call.step, call.moment)
    assert [step for step in steps if step not in first] == []
    assert sorted(steps, key=first.__getitem__) == steps
