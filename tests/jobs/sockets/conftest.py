"""One web process for all tests of WebSockets, and who opens one."""

from collections.abc import Iterator

import httpx
import pytest

from jobs.conftest import Lab
from jobs.test_web_process import gauge
from jobs.web_process import lab_with_web

PLACES = 12
# The variables of the web process.
ENVIRONMENT = {
    "LAB_STREAMS_PER_OWNER": str(PLACES),
    "LAB_WRITE_TIMEOUT": "4",
    "LOG_LEVEL": "INFO",
}


@pytest.fixture(scope="package")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A web process and Redis for all tests of this folder."""
    for lab in lab_with_web(tmp_path_factory.mktemp("sockets"), **ENVIRONMENT):
        yield lab
        assert "Traceback" not in lab.log("web")


@pytest.fixture
def token(web: Lab) -> Iterator[str]:
    """A token of "lab". At the end all its sockets are closed."""
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    yield ApiToken.make("lab")[1]
    for model in (ApiToken, Job):
        model.objects.all().delete()
    web.until(lambda: figure(web, "offload_serving_streams_in_flight") == 0, "no socket")


def figure(lab: Lab, name: str) -> float:
    with httpx.Client(base_url=lab.address, timeout=60, trust_env=False) as client:
        return gauge(client, name)


def session_of(name: str) -> str:
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.create_user(name))
    return browser.cookies["sessionid"].value


@pytest.fixture
def session(web: Lab) -> Iterator[str]:
    """The session of a user "lab"."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    yield session_of("lab")
    for model in (User, Session):
        model.objects.all().delete()
