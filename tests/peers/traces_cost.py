"""What traces cost a request: `python tests/peers/traces_cost.py [OTHER_TEMPLATE]`.

Services of the same template run in turns: without traces, with a tenth of the traces, and, if
another checkout of the template is given, that one without traces. Each round starts a web process,
sends it the same requests, and reads the CPU time of the process. The median of each is printed.

Needs the packages of requirements/tracing.in. A collector of ours takes the spans.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[2]
ROUNDS = 7
WARM_UP_REQUESTS = 500
REQUESTS = 5000
SAMPLED = {
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.1",
}


class Collector(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def microseconds(service: Path, port: int, more: dict[str, str]) -> float:
    """CPU time of the web process for one request."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"PORT": str(port), "REDIS_URL": "redis://127.0.0.1:1/0", **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "offload.serving", "--drain", "0"],
        cwd=service,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_for(client)
            for _ in range(WARM_UP_REQUESTS):
                client.get("/api/ping")
            before = cpu_seconds(process.pid)
            for _ in range(REQUESTS):
                assert client.get("/api/ping").status_code == 200
            # The last spans are sent, too.
            time.sleep(1)
            return (cpu_seconds(process.pid) - before) / REQUESTS * 1e6
    finally:
        process.kill()
        process.wait()


def wait_for(client: httpx.Client, seconds: float = 60.0) -> None:
    """Wait until the service answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            client.get("/health/live")
            return
        time.sleep(0.1)
    raise SystemExit("the service does not answer")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def generate(template: Path, folder: Path) -> Path:
    """A service of this template, with its tables."""
    folder.mkdir()
    answers = {"example": "no", "ci": "none"}
    service = Path(
        cookiecutter(str(template), no_input=True, output_dir=str(folder), extra_context=answers)
    )
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=service, check=True)
    return service


def main() -> None:
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    sampled = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"} | SAMPLED
    with tempfile.TemporaryDirectory() as folder:
        here = generate(TEMPLATE, Path(folder) / "here")
        ways = {"off": (here, {}), "a tenth of the traces": (here, sampled)}
        for other in sys.argv[1:]:
            ways["the other template"] = (generate(Path(other), Path(folder) / "other"), {})
        runs: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for turn, (name, (service, more)) in enumerate(ways.items()):
                runs[name].append(microseconds(service, 18000 + 10 * number + turn, more))
    print(json.dumps({name: round(statistics.median(found), 1) for name, found in runs.items()}))
    off = statistics.median(runs["off"])
    for name, found in runs.items():
        print(f"{name}: {statistics.median(found):.1f} us ({statistics.median(found) / off:.3f})")


if __name__ == "__main__":
    main()
