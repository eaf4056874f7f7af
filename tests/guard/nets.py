"""The nets, each as a function from one tree of the corpus to what it says of which case."""

import asyncio
import json
import logging.config
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

# What the pytest net says of an open client or thread.
LEFT_OPEN = " left a "
HERE = Path(__file__).parent
SERVICE = HERE.parents[1] / "{{cookiecutter.project_slug}}"
STANDARD = HERE / "standard"

Caught = dict[str, set[str]]


def run(tree: Path, *command: str | Path, **environment: str) -> str:
    """What a command prints, run in a tree with the tree and `offload` importable."""
    paths = os.pathsep.join(map(str, (tree, SERVICE, HERE)))
    env = (
        os.environ
        | {"PYTHONPATH": paths, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        | environment
    )
    done = subprocess.run(
        [*map(str, command)],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout or done.stderr


def by_case(pairs: Iterable[tuple[str, str]]) -> Caught:
    found: Caught = defaultdict(set)
    for case, number in pairs:
        found[case].add(number)
    return found


def ruff(tree: Path) -> Caught:
    printed = run(
        tree,
        "ruff",
        "check",
        "--no-cache",
        "--config",
        STANDARD / "ruff.toml",
        "--output-format",
        "concise",
        "shop",
    )
    return by_case(re.findall(r"^shop/(\w+)/\w+\.py:\d+:\d+: (\w+)", printed, re.MULTILINE))


def mypy(tree: Path) -> Caught:
    """Only what it says of coroutines: the corpus is about the loop, not about types."""
    options = [
        "--python-executable",
        sys.executable,
        "--ignore-missing-imports",
        "--enable-error-code",
        "unused-awaitable",
    ]
    printed = run(
        tree, "mypy", *options, "--cache-dir", os.devnull, "--follow-imports", "silent", "shop"
    )
    return by_case(
        re.findall(
            r"^shop/(\w+)/\w+\.py:\d+: error: .*\[(unused-coroutine|unused-awaitable)\]",
            printed,
            re.MULTILINE,
        )
    )


def lint(tree: Path) -> Caught:
    found = json.loads(
        run(tree, sys.executable, "-m", "offload_dev.lint", "--json", "--fail-on", "never", tree)
    )["findings"]
    return by_case((finding["path"].split("/")[1], finding["rule"]) for finding in found)


def checks(tree: Path) -> Caught:
    return by_case(
        json.loads(
            run(tree, sys.executable, HERE / "nets.py", "checks", **_work()).splitlines()[-1]
        )
    )


def watchdog(tree: Path, cases: Iterable[str]) -> Caught:
    printed = run(tree, sys.executable, HERE / "nets.py", "watchdog", *cases, **_work())
    return by_case(json.loads(printed.splitlines()[-1]))


def pytest(tree: Path, cases: Iterable[str]) -> Caught:
    """What a test of each case says when it fails."""
    report = tree / "report.xml"
    options = [
        "-p",
        "offload_dev.pytest.loop_guard",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "-o",
        "asyncio_mode=auto",
    ]
    quiet = ["-p", "no:django", "--rootdir", tree, f"--junitxml={report}", "-q"]
    run(
        tree,
        sys.executable,
        "-m",
        "pytest",
        *options,
        *quiet,
        HERE / "corpus_tests.py",
        GUARD_CASES=",".join(cases),
        **_work(),
    )
    results = list(ElementTree.parse(report).iter("testcase"))
    failed = {case.get("name") for case in results if case.find("failure") is not None}
    # What a test that has failed leaves behind may be deleted in its own teardown, or later. What
    # it leaves open is found after its fixtures, which might have closed it.
    errors = [
        f"{case.get('name')}: {error.text}"
        for case in results
        if case.get("name") not in failed
        for error in case.iter("error")
        if LEFT_OPEN not in (error.text or "")
    ]
    # A test that fails and leaves something open stands in the report twice.
    ran = {case.get("name") for case in results}
    if errors or len(ran) != len(list(cases)):
        raise RuntimeError("\n".join([f"{len(ran)} tests of the corpus ran", *errors]))
    failures = (
        (case.get("name", ""), failure.get("message", ""))
        for case in results
        for failure in (*case.iter("failure"), *case.iter("error"))
    )
    return by_case(
        (name.removeprefix("test_case[").removesuffix("]"), message) for name, message in failures
    )


def _work() -> dict[str, str]:
    return {"GUARD_WORK": tempfile.mkdtemp(), "DJANGO_SETTINGS_MODULE": "corpus_settings"}


def _check_settings(tree: Path) -> list[tuple[str, str]]:
    """Every case's settings and URLs, held against the checks of tag `offload`."""
    import django
    from django.core import checks
    from django.core.signals import request_started
    from django.test import override_settings

    django.setup()
    found = []
    for path in sorted(tree.glob("shop/*/settings.py")):
        module = import_module(f"shop.{path.parent.name}.settings")
        values = {name: value for name, value in vars(module).items() if name.isupper()}
        os.environ |= values.pop("ENVIRONMENT", {})
        receivers = values.pop("RECEIVERS", [])
        if "LOGGING" in values:
            logging.config.dictConfig(values["LOGGING"])
        for receiver in receivers:
            request_started.connect(receiver)
        with override_settings(**values):
            found += [
                (path.parent.name, message.id) for message in checks.run_checks(tags=["offload"])
            ]
        for receiver in receivers:
            request_started.disconnect(receiver)
        logging.root.handlers.clear()
        os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    for path in sorted(tree.glob("shop/*/api.py")):
        if "urlpatterns" in path.read_text():
            with override_settings(ROOT_URLCONF=f"shop.{path.parent.name}.api"):
                found += [
                    (path.parent.name, message.id)
                    for message in checks.run_checks(tags=["offload"])
                ]
    return [(case, (number or "").removeprefix("offload.")) for case, number in found]


async def _watch(cases: list[str]) -> list[tuple[str, str]]:
    """Every case called once, under the watchdog with its threshold as shipped."""
    import corpus_calls

    from offload.conf import Offload
    from offload.guard.runtime.block_log import Block
    from offload.guard.runtime.watchdog import Watchdog

    blocks: list[Block] = []
    found = []
    modules = {case: corpus_calls.load(case) for case in cases}
    browser = await corpus_calls.client()
    running = Watchdog(
        asyncio.get_running_loop(), threshold=Offload().block_threshold, report=blocks.append
    )
    running.start()
    for case, urls in modules.items():
        blocks.clear()
        # Django's own guard and asyncio's refuse some; the pytest plugin tells of it.
        with suppress(Exception):
            await corpus_calls.call(browser, urls)
        # Longer than the watchdog's pause.
        await asyncio.sleep(0.15)
        await running.settle()
        found += [(case, "block") for block in blocks if f"/{case}/" in block.place]
    await running.stop()
    return found


if __name__ == "__main__":
    if sys.argv[1] == "checks":
        print(json.dumps(_check_settings(Path.cwd())))
    else:
        import corpus_calls

        corpus_calls.prepare()
        print(json.dumps(asyncio.run(_watch(sys.argv[2:]))))
