"""Measures the nets that see at run time: `python tests/guard/live_nets.py`.

60 of the mistakes in `DRAWN_FROM` were drawn at random; those in settings alone were left out.
Each has a plain functional test in `mistakes/functional`, which knows of no net: it calls the view,
the consumer or the task with small data, and asserts the normal result. It runs on both halves.

Some cases need a library that this repository does not: their runs are printed as `not run`.
"""

import os
import random
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import nets
from mistakes import Mistake, read

HERE = Path(__file__).parent
TESTS = HERE / "mistakes" / "functional"
SEED, DRAWN = 60, 60
# The parts that could be read at the time of the draw. Another part would change the draw.
DRAWN_FROM = ("fixes_read", "issues_learned", "issues_opened", "strangers_opened")
HALVES = ("wrong", "right")
# Without any net; under the pytest plugin; in a uvicorn under the watchdog, if it has a view.
MODES = ("alone", "plugin", "served")
PLUGIN = ("-p", "offload_dev.pytest.loop_guard")
OPTIONS = (
    *("-q", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "live_fixtures"),
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    *("-o", "log_cli=true", "--log-cli-level=WARNING", "--ds=live_settings"),
    # A thread ends the process also where its main thread waits for ever.
    *("--timeout=60", "--timeout-method=thread"),
)
# pytest-django has a fixture of this name, which only a conftest.py replaces.
SERVED = "from live_fixtures import served_client as async_client\n"
FAILED = re.compile(r"\d+ failed|\d passed, \d+ error|^ERROR .*::|^\++ Timeout \++$", re.MULTILINE)
BLOCKED = re.compile(r"shop/\S+\.py:\d+ \S+ blocked the event loop")


def drawn() -> list[Mistake]:
    """The mistakes of the draw, by name."""
    every = [mistake for part in DRAWN_FROM for mistake in read(part)]
    in_code = [
        mistake
        for mistake in every
        if mistake.kind != "settings" and any("settings" not in name for name in mistake.files)
    ]
    in_code.sort(key=lambda mistake: mistake.name)
    return sorted(random.Random(SEED).sample(in_code, DRAWN), key=lambda mistake: mistake.name)


def run(mistake: Mistake, half: str, mode: str) -> str:
    """What the functional test says of one half.

    Returns:
        `passes`, `fails`, `blocks` if the watchdog has named a line of the service, or `not run`.
    """
    with TemporaryDirectory() as folder:
        tree = mistake.lay_out(half, Path(folder))
        if 'name = "library"' in mistake.files.get("apps.py", ""):
            (tree / "shop").rename(tree / "library")
        shutil.copy(TESTS / f"{mistake.name.replace('-', '_')}.py", tree / "test_case.py")
        if mode == "served":
            (tree / "conftest.py").write_text(SERVED)
        paths = (tree, HERE / "live_service", nets.SERVICE, HERE)
        printed = nets.run(
            tree,
            *(sys.executable, "-m", "pytest", *OPTIONS, f"--rootdir={tree}"),
            *(PLUGIN if mode == "plugin" else ()),
            "test_case.py",
            PYTHONPATH=os.pathsep.join(map(str, paths)),
            LIVE_WORK=str(tree),
            LIVE_SERVED="1" if mode == "served" else "",
        )
    if mode == "served" and BLOCKED.search(printed):
        return "blocks"
    if FAILED.search(printed):
        return "fails"
    return "passes" if re.search(r"\d+ passed", printed) else "not run"


def main() -> None:
    """Print what each mode says of both halves of each case."""
    runs = list(product(drawn(), MODES, HALVES))
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda each: run(each[0], each[2], each[1]), runs))
    for (mistake, mode, half), result in zip(runs, said, strict=True):
        print(f"{mistake.name:<45} {mistake.expect or '-':<7} {mode:<7} {half:<6} {result}")


if __name__ == "__main__":
    main()
