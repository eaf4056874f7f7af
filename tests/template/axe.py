"""axe-core, which finds what keeps people with a screen reader or a keyboard out of a page.

It is an npm package, and nothing of it is in this repository: npm loads it into `build/` once.
"""

import os
import shutil
import subprocess
import tarfile
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Page

from .conftest import ROOT

PACKAGE = "axe-core@4.14.1"
FOLDER = ROOT / "build" / "axe"
# What its authors count as keeping somebody out.
IMPACTS = ("serious", "critical")


@cache
def source() -> str:
    """The script; the test is skipped where npm is missing or does not reach its registry."""
    packed = FOLDER / f"{PACKAGE.replace('@', '-')}.tgz"
    if not packed.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            _leave_out("THERE IS NO NPM ON THIS MACHINE")
        command = [str(npm), "pack", "--silent", PACKAGE]
        loaded = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if loaded.returncode:
            _leave_out(f"NPM DID NOT LOAD {PACKAGE}: {loaded.stderr.strip()[-300:]}")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def _leave_out(reason: str) -> None:
    if os.environ.get("REQUIRE_AXE"):
        pytest.fail(f"REQUIRE_AXE is set. {reason}")
    pytest.skip(f"{reason}: nobody looked whether everybody can use the page")


def violations(page: Page) -> list[str]:
    """What axe finds in the page that is serious: the rule, and the elements that break it."""
    page.evaluate(source())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in IMPACTS
    ]
