"""A service on eight hosts, whose processes are started as docs/production.md says.

They are two proxies, two for web processes, two for workers, one with PostgreSQL and one with
Valkey.
"""

import itertools
import os
import re
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from host_network import Host
from waiting import wait_until

from .postgres_host import PostgresHost

HERE = Path(__file__).parent
NAME = "desk.example.com"
# Anything that a test waits for happens sooner than this, also on a busy machine.
TIMEOUT_SECONDS = 120
# Seconds by which the clock of a host is wrong: five minutes between two that do the same. That of
# PostgreSQL is right.
CLOCKS = {"web1": -150, "web2": 150, "worker1": 150, "worker2": -150}
ADDRESSES = {
    "proxy": 2,
    "compose": 3,
    "web1": 11,
    "web2": 12,
    "worker1": 21,
    "worker2": 22,
    "postgres": 31,
    "valkey": 32,
}
# In front of the web processes: that of docs/production.md, and that of compose.yaml.
PROXIES = ("proxy", "compose")
PASSWORD = "of-the-tests"
WEBS = ("web1", "web2")
WORKERS = ("worker1", "worker2")
# Jobs that a worker's host computes at once.
SLOTS = 2


class Cluster:
    """The hosts and what runs on them.

    Attributes:
        folder: logs, gates and what else the tests write.
        token: an API token of "ada".
    """

    def __init__(self, folder: Path, service: Path, programs: Path) -> None:
        self.folder = folder
        self.service = service
        library = str(compile_wrong_clock(folder))
        clocks = {
            name: {"LD_PRELOAD": library, "CLOCK_OFFSET_SECONDS": str(seconds)}
            for name, seconds in CLOCKS.items()
        }
        self.hosts = {
            name: Host(name, number, clocks.get(name, {})) for name, number in ADDRESSES.items()
        }
        self.postgres = PostgresHost(self.hosts["postgres"], programs, folder / "postgres.log")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        valkey = self.hosts["valkey"].address
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "hosts_project.settings",
            "PYTHONPATH": f"{HERE}:{HERE.parent / 'production_packages'}",
            "ALLOWED_HOSTS": NAME,
            "SECRET_KEY": "of-the-tests-" + "0123456789" * 5,
            "METRICS_TOKEN": "of-the-scraper",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": f"redis://:{PASSWORD}@{valkey}:6379/0",
            "PRIVATE_NETWORK": "1",
            "HOST": "0.0.0.0",
            "FORWARDED_ALLOW_IPS": ",".join(self.hosts[name].address for name in PROXIES),
            "WORKER_NICE": "0",
            "WORKER_GRACE": "1",
        }
        self.token = ""
        # It costs 25 ms of CPU. The certificate is of the tests' own.
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self._numbers = itertools.count()

    # --- processes ---

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start the process of a host."""
        more = {"SPOOL_FOLDER": str(self.folder / f"{name}-spool")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = self.hosts[name].start(
                command, log, self.environment | more, cwd=self.service
            )

    def start_web(self, name: str) -> None:
        """Start a web process, which is then asked directly until it is ready."""
        self.start(name, [sys.executable, "-m", "offload.serving"])
        self.until(lambda: self.ask_host(name, "/health/ready").status_code == 200, f"{name}")

    def start_worker(self, name: str) -> None:
        """Start a worker, and wait until it is heard from."""
        queues = ("-Q", "cpu,default", "-c", str(SLOTS), "-n", "cpu@%h")
        before = self._workers(name)
        self.start(name, [sys.executable, "-m", "offload.jobs", *queues])
        self.until(lambda: self._workers(name) - before, f"{name} to say that it is there")

    def _workers(self, name: str) -> set[Any]:
        rows = self.postgres.ask("SELECT id FROM offload_worker WHERE name = %s", f"cpu@{name}")
        return {number for (number,) in rows}

    def start_valkey(self) -> None:
        """Start a Valkey without data."""
        from offload_dev.launcher.embedded_valkey import command

        options = ("--bind", "0.0.0.0", "--requirepass", PASSWORD)
        self.start("valkey", [*command(6379), *options])

    def start_postgres(self) -> None:
        """Start PostgreSQL, and wait until it answers."""
        self.postgres.start()
        self.until(self.postgres.answers, "PostgreSQL")

    def start_proxy(self) -> None:
        """Start nginx with the configuration of docs/production.md."""
        page = (self.service / "docs" / "production.md").read_text()
        example = re.search(r"```nginx\n(.*?)```", page, re.DOTALL)
        assert example
        addresses = {f"10.0.0.1{n}": self.hosts[f"web{n}"].address for n in (1, 2)}
        site = example[1].replace("/etc/ssl/desk", str(self.folder))
        for old, new in addresses.items():
            assert old in site
            site = site.replace(old, new)
        self.start("proxy", nginx(self.folder, "proxy", site))

    def manage(self, *arguments: str) -> str:
        """What `python manage.py` prints."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=self.service, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, name: str) -> int:
        """Send the process of a host a SIGTERM; its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(TIMEOUT_SECONDS)

    def open(self) -> None:
        """Start everything, in the order of docs/production.md."""
        self.start_postgres()
        self.start_valkey()
        self.manage("migrate", "--no-input")
        printed = self.manage("createtoken", "ada").splitlines()
        self.token = next(line for line in printed if len(line) == 43)
        # Each waits for its process alone.
        with ThreadPoolExecutor(4) as together:
            started = [together.submit(self.start_worker, name) for name in WORKERS]
            started += [together.submit(self.start_web, name) for name in WEBS]
            for one in started:
                one.result()
        self.start_proxy()
        self.until(lambda: self.get("/health/live").status_code == 200, "the proxy")

    def close(self) -> None:
        """End everything."""
        for host in self.hosts.values():
            host.kill()
        self.postgres.remove()

    # --- clients ---

    def client(self, url: str = "", **more: Any) -> httpx.Client:
        """A client of the proxy, or of another address."""
        headers = {"Host": NAME, "Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=url or self.url_of("proxy"),
            headers=headers,
            verify=self.tls,
            trust_env=False,
            timeout=60,
            **more,
        )

    def url_of(self, proxy: str) -> str:
        """The address of a proxy."""
        return f"https://{self.hosts[proxy].address}"

    def url_behind(self, web: str) -> str:
        """The address of a web process itself, which a proxy asks."""
        return f"http://{self.hosts[web].address}:8000"

    def get(self, path: str) -> httpx.Response:
        """GET, through the proxy, on a connection of its own."""
        with self.client() as client:
            return client.get(path)

    def ask_host(self, name: str, path: str) -> httpx.Response:
        """GET, from a web process itself."""
        return httpx.get(self.url_behind(name) + path, trust_env=False, timeout=10)

    # --- jobs ---

    def job(self, gate: str = "", **more: Any) -> "CountedJob":
        """Submit a job through the proxy. It waits for `gate` to be opened."""
        job = self.new_job()
        with self.client() as client:
            answer = job.post(client, gate=str(self.folder / gate) if gate else "", **more)
        assert answer.status_code == 202, answer.text
        return job

    def new_job(self) -> "CountedJob":
        """A job that is not submitted yet."""
        return CountedJob(self, f"job-{next(self._numbers)}")

    def open_gate(self, gate: str) -> None:
        """Let the jobs behind a gate come to their ends."""
        (self.folder / gate).touch()

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds. An answer that does not come counts as no."""
        wait_until(holds, what, TIMEOUT_SECONDS, logs=self.logs)

    def logs(self) -> str:
        """The ends of all logs."""
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in paths)


class CountedJob:
    """A job that was submitted, and its executions as they were written down."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.log = cluster.folder / "executions"
        self.id = ""

    def post(self, client: httpx.Client, key: str = "", **params: Any) -> httpx.Response:
        """Submit it; `key` is an Idempotency-Key."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"name": self.name, "log": str(self.log), **params}
        answer = client.post("/api/count", json=body, headers=headers)
        if answer.status_code == 202:
            self.id = answer.json()["id"]
        return answer

    def started_on(self) -> list[str]:
        """The host of each execution, in the order of their begins."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        words = [line.split() for line in lines]
        return [host for kind, name, host in words if (kind, name) == ("start", self.name)]

    def view(self) -> dict[str, Any]:
        """What a client is told."""
        found: dict[str, Any] = self.cluster.get(f"/api/jobs/{self.id}").json()
        return found

    def row(self) -> tuple[Any, ...]:
        """Its status, attempts and result."""
        query = "SELECT status, attempts, result FROM offload_job WHERE id = %s"
        (row,) = self.cluster.postgres.ask(query, self.id)
        return row


def wait_until_they_compute(cluster: Cluster, jobs: Sequence[CountedJob]) -> None:
    """Wait until each of these jobs is being computed."""
    for job in jobs:
        cluster.until(job.started_on, f"{job.name} to begin")


def wait_until_they_succeed(cluster: Cluster, jobs: Sequence[CountedJob]) -> None:
    """Wait until all of these jobs have succeeded, each once."""
    ids = [job.id for job in jobs]

    def ended() -> bool:
        query = "SELECT status FROM offload_job WHERE id = ANY(%s::uuid[])"
        states = Counter(status for (status,) in cluster.postgres.ask(query, ids))
        assert not states["failed"], f"{states}\n{cluster.logs()}"
        return states["succeeded"] == len(ids)

    cluster.until(ended, f"the success of {len(ids)} jobs")


def nginx(folder: Path, name: str, site: str) -> list[str]:
    """The command of an nginx that serves these servers; its files are in the folder."""
    own = folder / f"nginx-{name}"
    own.mkdir(exist_ok=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {own}/{kind};" for kind in kinds)
    configuration = own / "nginx.conf"
    configuration.write_text(
        "daemon off; master_process on; user root; worker_processes 1;\n"
        f"pid {own}/pid; error_log stderr warn; events {{ }}\n"
        f"http {{\n    access_log off;\n{paths}\n{site}\n}}\n"
    )
    return ["nginx", "-c", str(configuration), "-e", "stderr"]


def make_certificate(folder: Path) -> None:
    """A certificate of the tests' own, in the names of docs/production.md."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", f"/CN={NAME}", "-keyout", folder / "key.pem", "-out", folder / "fullchain.pem"],
        check=True,
        capture_output=True,
    )


def compile_wrong_clock(folder: Path) -> Path:
    """The library that puts a clock wrong."""
    made, source = folder / "wrong_clock.so", HERE / "wrong_clock.c"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return made
