"""Installs a locked list into an environment: `python requirements/install.py .venv dev.txt`.

Every hash is checked. uv takes a fifth of pip's CPU (8 s against 41 s for dev.txt): where none is
installed, one is put beside the environment, from a locked list of its own. Where that fails, or
INSTALLER=pip is set, pip does it all. Runs on a bare Python.
"""

# An older Python reads this file, too, up to its check of the version.
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # What is shown of a line that a command prints; None for nothing.
    Step = Callable[[str], str | None]

MIN_PYTHON = (3, 11)
UV_LIST = Path(__file__).with_name("image.txt")
# What pip may have been told about other places of packages, what uv calls it, and what stands
# between several. Hashes are checked, so it does not matter which place has which version.
UV_SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", ""),
}
# uv prints a line for each step, and then one for each package.
UV_STEPS = ("Resolved", "Prepared", "Installed", "Audited")
# pip prints a line for each package. Every tenth is shown.
PIP_STEP, PIP_STEP_SHOWN = "Collecting ", 10


def main() -> None:
    """Install, and say how it goes. Exits with 1 and one sentence where it cannot."""
    if sys.version_info < MIN_PYTHON:
        sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")
    # Ctrl-C ends it at once, without a traceback. The command that runs gets the Ctrl-C, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    target, locked = Path(sys.argv[1]), Path(sys.argv[2])
    total = locked.read_text(encoding="utf-8").count("==")
    say(f"Installing up to {total} packages into {target} ...")
    uv = None if os.environ.get("INSTALLER") == "pip" else find_uv(target)
    if uv is None or not install_with_uv(uv, target, locked):
        install_with_pip(target, locked, total)


def find_uv(target: Path) -> str | None:
    """The path of uv; None where there is none and none can be installed."""
    found = shutil.which("uv")
    own = target / "uv" / "bin" / "uv"
    if found or own.exists():
        return found or str(own)
    try:
        make_environment(target / "uv")
        pip(target / "uv", "--quiet", "-r", UV_LIST)
    except subprocess.CalledProcessError as error:
        say(f"uv cannot be installed, so pip does it: {last_line(error)}")
        return None
    return str(own)


def install_with_uv(uv: str, target: Path, locked: Path) -> bool:
    """Whether uv could install the list."""
    environment = {**pip_settings(), "UV_INDEX_STRATEGY": "unsafe-best-match", **os.environ}
    environment["VIRTUAL_ENV"] = str(target.resolve())
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(target)]
    # As pip does it: what somebody has put there besides stays, which `uv pip sync` would remove.
    install = [uv, "pip", "install", "--require-hashes", "-r", str(locked)]
    try:
        if not (target / "bin" / "python").exists():
            run(make, environment)
        run(install, environment, lambda line: line if line.startswith(UV_STEPS) else None)
    except subprocess.CalledProcessError as error:
        say(f"uv could not install it, so pip does: {last_line(error)}")
        return False
    return True


def install_with_pip(target: Path, locked: Path, total: int) -> None:
    """Install the list with pip, which takes some minutes on a slow machine."""
    collected = 0

    def step(line: str) -> str | None:
        nonlocal collected
        collected += line.startswith(PIP_STEP)
        shown = line.startswith(PIP_STEP) and collected % PIP_STEP_SHOWN == 0
        return f"{collected} of {total} packages" if shown else None

    try:
        make_environment(target)
        pip(target, "-r", locked, step=step)
    except subprocess.CalledProcessError as error:
        sys.exit(f"pip could not install {locked}:\n{error.output[-2000:]}")


def make_environment(target: Path) -> None:
    """An environment with pip."""
    try:
        run([sys.executable, "-m", "venv", str(target)], os.environ)
    except subprocess.CalledProcessError as error:
        if "ensurepip" not in str(error.output):
            raise
        sys.exit("Python cannot make environments here. Debian, Ubuntu: apt install python3-venv")


def pip(target: Path, *arguments: str | Path, step: Step | None = None) -> None:
    """Run the environment's own pip, which the Python of a distribution does not refuse."""
    command = [target / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    run([str(each) for each in (*command, "--require-hashes", *arguments)], os.environ, step)


def pip_settings() -> dict[str, str]:
    """What uv has to be told, since it does not read the settings of pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = {}
    # Its environment (`:env:.find-links=...`) holds before its files.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        variable, separator = UV_SETTINGS.get(name.rpartition(".")[2], ("", ""))
        if variable:
            parts = value.strip("'\"").replace("\\n", " ").split()
            found[variable] = separator.join(parts)
    return found


def run(command: list[str], environment: Mapping[str, str], step: Step | None = None) -> None:
    """Run a command to its end, and show what `step` makes of its lines.

    Raises:
        CalledProcessError: it failed; `output` is what it printed.
    """
    printed: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            printed.append(line)
            shown = step(line) if step else None
            if shown:
                say(f"  {shown.strip()}")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, "".join(printed))


def last_line(error: subprocess.CalledProcessError) -> str:
    """The last line that a failed command printed."""
    return (str(error.output).strip().splitlines() or ["it printed nothing"])[-1]


def say(text: str) -> None:
    """Print at once, also into a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
