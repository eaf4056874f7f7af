"""The room works with httpx2, the successor of httpx, after a change of one line."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import offload

HERE = Path(__file__).parent
LINE = "import httpx as httpx\n"


# The whole room once more, on a machine that may be busy.
@pytest.mark.timeout(900)
@pytest.mark.skipif("OFFLOAD_HTTPX" in os.environ, reason="this is the run with httpx2")
@pytest.mark.skipif(find_spec("httpx2") is None, reason="httpx2 is not installed")
def test_every_test_of_this_room_passes_with_httpx2(tmp_path: Path) -> None:
    shutil.copytree(Path(offload.__file__).parent, tmp_path / "offload")
    imports = tmp_path / "offload/fanout/http.py"
    text = imports.read_text()
    assert text.count(LINE) == 1
    imports.write_text(text.replace(LINE, "import httpx2 as httpx\n"))
    options = [
        "-o",
        f"pythonpath={tmp_path}",
        "-o",
        "asyncio_mode=auto",
        "-p",
        "no:cacheprovider",
        "-q",
        str(HERE),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(HERE), *options],
        env=os.environ | {"OFFLOAD_HTTPX": "httpx2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
