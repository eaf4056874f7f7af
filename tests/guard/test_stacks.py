"""Whose code a line on a stack is."""

import subprocess
import sys
from pathlib import Path

import pytest
from nets import SERVICE

CODE = """
from types import SimpleNamespace
from offload.guard.runtime import stacks

step = SimpleNamespace(code=compile("", FILE, "exec"), line=1)
print(stacks.is_service_code(step))
"""


@pytest.mark.parametrize(
    ("file", "is_of_service"),
    [
        ("shop/views.py", True),
        ("offload_billing/views.py", True),
        ("offload/jobs/submit.py", False),
        ("offload_dev/pytest/loop_guard.py", False),
    ],
)
def test_a_package_with_a_like_name_is_the_service_s_own(file: str, is_of_service: bool) -> None:
    code = CODE.replace("FILE", repr(str(SERVICE / Path(file))))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SERVICE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(is_of_service)
