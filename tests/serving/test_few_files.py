"""A process that has no file left to open recovers when it has some again."""

import os
import subprocess
import sys

CHECK = """
import sys
import offload.serving.handler
assert "encodings.unicode_escape" in sys.modules
"""


def test_the_codec_of_djangos_log_is_read_at_the_start() -> None:
    """Python remembers a codec that it could not read: each 404 was a 500 from then on."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=environment)
