"""`python -m offload_dev.prometheus_rule [--check]`: writes the alarms for Prometheus's operator.

It wraps deploy/monitoring/alarms.yml, so that a service has its rules once. This runs on a bare
Python, because the template writes the file before anything is installed.
"""

import re
import sys
from pathlib import Path

SOURCE = Path("deploy/monitoring/alarms.yml")
OVERLAY = Path("deploy/kubernetes/overlays/production")
MANIFEST = OVERLAY / "alarms.yaml"
HEAD = f"""\
# Made by `make alarms` from {SOURCE}. Edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: alarms
spec:
"""


def main() -> int:
    """Write the manifest, or compare it if the argument is `--check`; returns the exit status.

    Raises:
        SystemExit: the manifest is old, or the rules ask for jobs that the cluster does not have.
    """
    rules = SOURCE.read_text(encoding="utf-8")
    overlay = (OVERLAY / "kustomization.yaml").read_text(encoding="utf-8")
    # base/monitoring.yaml makes the names of the jobs of the namespace.
    (namespace,) = re.findall(r'^namespace: "?([\w-]+)"?$', overlay, re.MULTILINE)
    if f'job="{namespace}-web"' not in rules:
        sys.exit(f"{SOURCE} does not ask for the job {namespace}-web, as {OVERLAY} calls it.")

    lines = rules.splitlines(keepends=True)
    manifest = HEAD + "".join(f"  {line}" if line.strip() else line for line in lines)
    if "--check" not in sys.argv[1:]:
        MANIFEST.write_text(manifest, encoding="utf-8")
    elif not MANIFEST.is_file() or MANIFEST.read_text(encoding="utf-8") != manifest:
        sys.exit(f"{MANIFEST} is not what {SOURCE} says: `make alarms` writes it again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
