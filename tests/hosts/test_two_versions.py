"""Two versions of the service at once: a deploy under load, with a migration and changed jobs.

The old version is `hosts_project`. In the next one the files of `next_version` take the place of
its own: a column and a table more, a job with a parameter more, and a new job.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .cluster import (
    HERE,
    PROXIES,
    TIMEOUT_SECONDS,
    WEBS,
    WORKERS,
    Cluster,
    wait_until_they_succeed,
)
from .compose_proxy import ComposeProxy
from .test_faults import Clients


class Versions:
    """Which version the hosts of a cluster run.

    Args:
        folder: where the next version is put together.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.log = cluster.folder / "orders"
        self.old = cluster.environment
        self.new = self.old | {"PYTHONPATH": f"{folder}:{self.old['PYTHONPATH']}"}
        shutil.copytree(HERE / "hosts_project", folder / "hosts_project")
        shutil.copytree(HERE / "next_version", folder / "hosts_project", dirs_exist_ok=True)

    @contextmanager
    def use(self, environment: dict[str, str]) -> Iterator[None]:
        """What starts in the block is of this version."""
        self.cluster.environment = environment
        try:
            yield
        finally:
            self.cluster.environment = self.old

    def replace(self, name: str, environment: dict[str, str]) -> None:
        """Stop the process of a host, and start one of this version."""
        with self.use(environment):
            _restart(self.cluster, name)

    def migrate(self, *target: str) -> None:
        """Run the migrations that the next version has."""
        with self.use(self.new):
            self.cluster.manage("migrate", "--no-input", *target)

    def order(self, web: str, name: str, **more: Any) -> str:
        """Submit a job to a web process itself; the job's id."""
        with self.cluster.client(self.cluster.url_behind(web)) as client:
            body = {"name": name, "log": str(self.log), **more}
            answer = client.post("/api/orders", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def wait_for(self, name: str) -> list[str]:
        """Wait for the end of an order's job; the versions that submitted and computed it."""
        lines: list[list[str]] = []

        def has_ended() -> bool:
            every = self.log.read_text().splitlines() if self.log.exists() else []
            lines[:] = [line.split() for line in every if line.split()[0] == name]
            return bool(lines)

        self.cluster.until(has_ended, f"the end of the order {name}")
        assert len(lines) == 1, lines
        return lines[0][1:]


def _restart(cluster: Cluster, name: str) -> None:
    cluster.stop(name)
    start = cluster.start_web if name in WEBS else cluster.start_worker
    start(name)


@pytest.fixture
def versions(cluster: Cluster, front: ComposeProxy, tmp_path: Path) -> Iterator[Versions]:
    """The old version runs; at the end it runs again."""
    found = Versions(cluster, tmp_path)
    yield found
    with ThreadPoolExecutor(4) as together:
        for done in [together.submit(_restart, cluster, name) for name in (*WORKERS, *WEBS)]:
            done.result()
    found.migrate("hosts_project", "0001")


@contextmanager
def load(cluster: Cluster) -> Iterator[list[Clients]]:
    """Clients ask and submit through both proxies during the block."""
    clients = [Clients(cluster, proxy) for proxy in PROXIES]
    with ThreadPoolExecutor(2 * len(clients)) as threads:
        running = [threads.submit(each.ask, True) for each in clients]
        running += [threads.submit(each.submit) for each in clients]
        try:
            yield clients
        finally:
            for each in clients:
                each.done.set()
        for client in running:
            client.result(TIMEOUT_SECONDS)


@pytest.mark.timeout(900)
def test_a_deploy_of_the_next_version_under_load(versions: Versions) -> None:
    cluster = versions.cluster
    with load(cluster) as clients:
        versions.order("web1", "before")
        assert versions.wait_for("before") == ["old", "old"]

        versions.migrate()
        versions.order("web2", "migrated")
        assert versions.wait_for("migrated") == ["old", "old"]

        # A web process of the next version, before any worker of it.
        versions.replace("web1", versions.new)
        versions.order("web1", "early")
        assert versions.wait_for("early") == ["new", "old"]
        reminder = versions.order("web1", "reminder", remind=True)
        why = "no running worker knows the job type 'hosts.remind'"
        path = f"/api/jobs/{reminder}"
        cluster.until(lambda: cluster.get(path).json()["blocked_by"] == why, why)
        assert cluster.get(path).json()["status"] == "queued"

        for name in WORKERS:
            versions.replace(name, versions.new)
        assert versions.wait_for("reminder") == ["new", "new"]
        assert cluster.get(path).json()["blocked_by"] is None
        # An old web process submits what the new workers compute.
        versions.order("web2", "late")
        assert versions.wait_for("late") == ["old", "new"]
        versions.replace("web2", versions.new)
        versions.order("web2", "after")
        assert versions.wait_for("after") == ["new", "new"]

    assert [set(each.answers) for each in clients] == [{"200", "202"}] * 2, [
        each.answers for each in clients
    ]
    jobs = [*clients[0].jobs, *clients[1].jobs]
    wait_until_they_succeed(cluster, jobs)
    assert {job.row()[1] for job in jobs} == {1}
    # A row of the old version, or of its job, has the column's default.
    orders = dict(cluster.postgres.ask("SELECT name, currency FROM hosts_project_order"))
    assert orders == {
        "before": "EUR",
        "migrated": "EUR",
        "early": "EUR",
        "reminder": "EUR",
        "late": "EUR",
        "after": "CHF",
    }
