"""`python -m offload_dev.openapi_document`: writes docs/openapi.json from the API's code."""

import subprocess
import sys
from pathlib import Path

DOCUMENT = Path("docs/openapi.json")
COMMAND = (
    *("manage.py", "export_openapi_schema", "--api", "config.urls.api"),
    *("--indent", "2", "--sorted", "--output", str(DOCUMENT)),
)


def main() -> int:
    """Write the document; returns the exit status of Django's command."""
    status = subprocess.run([sys.executable, *COMMAND], check=False).returncode
    if status == 0:
        # Ninja writes no end of the last line.
        DOCUMENT.write_text(DOCUMENT.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
