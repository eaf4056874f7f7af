"""The standard variables turn traces on, and a wrong value costs the traces alone."""

import json
import sys

import pytest
from otlp_receiver import tracing_or_skip
from postgresql_server import free_port

from .conftest import Lab
from .traced import CALLER, authorization, get


def test_without_the_variables_nothing_that_traces_is_imported(lab: Lab) -> None:
    tracing_or_skip()
    lab.redis()
    lab.web()
    imported = get(lab, "/api/lab/modules", **authorization(), traceparent=CALLER).json()
    assert "offload.observe.tracing" in imported
    # redis-py imports the metrics of OpenTelemetry where it finds them.
    tracers = (
        *("offload.observe.tracer", "offload.observe.collector"),
        *("opentelemetry.exporter", "opentelemetry.sdk.trace"),
    )
    assert [name for name in imported if name.startswith(tracers)] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key s3cr3t"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318?key=s3cr3t"),
        ("OTEL_TRACES_SAMPLER", "some"),
    ],
)
def test_a_wrong_value_costs_the_traces_and_not_the_service(
    lab: Lab, name: str, value: str
) -> None:
    tracing_or_skip()
    code = (
        "import django; django.setup()\n"
        "from offload.observe.tracing import tracing\n"
        "tracing.start('lab')\n"
        "span = tracing.begin('a', 'SERVER')\n"
        "span and span.end()\n"
        "tracing.flush()"
    )
    traced = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1",
        name: value,
    }
    assert lab.start("traced", sys.executable, "-c", code, **traced).wait(60) == 0
    lines = [json.loads(line) for line in lab.log("traced").splitlines()]
    (told,) = [line["event"] for line in lines if line["logger"] == "offload.traces"]
    assert "OTEL_" in told
    assert "s3cr3t" not in lab.log("traced")


def test_missing_packages_are_told_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.observe import tracing as module

    monkeypatch.setattr(module, "PACKAGES", ("no_such_package.sdk",))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    made = module.Tracing()
    made.start("lab")
    assert not made.is_on
    assert "no_such_package.sdk is not installed" in caplog.text


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], asked: bool) -> None:
    from offload.observe.tracing import is_asked_for

    assert is_asked_for(variables) is asked
