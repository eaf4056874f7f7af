"""Small apps for tests of the linter."""

from pathlib import Path

BLOCKING = "import time\n\n\nasync def view(request):\n    time.sleep(1)\n"


def write(root: Path, **files: str) -> Path:
    package = root / "app"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return root
