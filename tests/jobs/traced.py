"""What the tests of traces share: the spans of this process, and those a collector receives."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from otlp_receiver import ReceivedSpan, Receiver, receiving, tracing_or_skip

from .conftest import Lab

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def spans() -> Iterator[list[Any]]:
    """Trace in this process, as a worker does; the spans that have ended."""
    tracing_or_skip()
    from offload.observe.tracer import Tracer
    from offload.observe.tracing import tracing

    ended: list[Any] = []
    tracing._tracer = Tracer("lab", ended.append)
    yield ended
    tracing._tracer = None


def get(lab: Lab, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{lab.address}{path}", headers=headers, trust_env=False, timeout=60)


def authorization() -> dict[str, str]:
    from offload.access.models import ApiToken

    return {"Authorization": f"Bearer {ApiToken.make('lab')[1]}"}


def attempts(receiver: Receiver, job: Any) -> dict[int, ReceivedSpan]:
    """The spans of a job's attempts by their numbers."""
    return {
        span.attributes["offload.job.attempt"]: span
        for span in receiver.spans
        if span.attributes.get("offload.job.id") == str(job.pk)
    }
