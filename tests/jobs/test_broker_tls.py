"""Redis over TLS with a password: jobs and events go, and no other server gets the password."""

import subprocess
import sys

import httpx
import pytest

from .conftest import Lab

PASSWORD = "of-the-tests"
# What a web process and a worker send to Redis through Celery.
PUBLISH = """
import django
django.setup()
from celery import current_app
from offload.jobs.relay import Broker
Broker().check()
try:
    with current_app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
except Exception as error:
    print(error)
"""


@pytest.fixture
def url(lab: Lab) -> str:
    """A Redis with a password, behind TLS."""
    files = ("-keyout", str(lab.folder / "key.pem"), "-out", str(lab.folder / "certificate.pem"))
    names = ("-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    lab.redis()
    with lab.redis_client() as client:
        client.config_set("requirepass", PASSWORD)
    plain = lab.proxy("tls", str(lab.folder))
    return plain.replace("redis://", f"rediss://:{PASSWORD}@")


def test_jobs_and_events_go_over_tls(lab: Lab, url: str) -> None:
    from offload.access.models import ApiToken

    known = f"{url}?ssl_ca_certs={lab.folder / 'certificate.pem'}"
    lab.worker(REDIS_URL=known)
    lab.web(REDIS_URL=known)
    _, token = ApiToken.make("lab")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=lab.address, headers=headers, trust_env=False) as client:
        # The broker, the subscription to events and the worker.
        def all_answer() -> bool:
            found = client.get("/health/dependencies")
            return found.status_code == 200 and found.json()["events"]

        lab.until(all_answer, "the broker to be there")
        body = {"log": str(lab.folder / "executions"), "units": 1}
        job = client.post("/api/lab/burn", json=body).json()
        lab.until(
            lambda: client.get(f"/api/jobs/{job['id']}").json()["status"] == "succeeded",
            "the job to succeed",
        )


def test_no_password_is_sent_to_a_server_whose_certificate_nobody_knows(lab: Lab, url: str) -> None:
    command = [sys.executable, "-c", PUBLISH]
    said = lab.start("client", *command, REDIS_URL=url)
    assert said.wait(100) == 0
    # The relay's connection, and the worker's.
    assert lab.log("client").count("CERTIFICATE_VERIFY_FAILED") == 2, lab.log("client")
    # It says a line for every connection whose client trusts it.
    assert lab.log("proxy").count("connection") == 0
