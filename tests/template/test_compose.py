"""The order, the limits and the doors of compose.yaml. No container engine is needed.

tests/image runs each service in the image's root file system.
"""

import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from image.compose import read_services

# In the service's own image.
OWN = {"migrate", "web", "cpu", "default", "flower"}
ENDED, HEALTHY = "service_completed_successfully", "service_healthy"


@pytest.fixture(scope="module")
def services(with_example: Path) -> dict[str, Any]:
    return read_services(with_example, {})


def waits_for(services: dict[str, Any], name: str) -> dict[str, str]:
    """The services that one waits for, and what it waits for."""
    found = services[name].get("depends_on", {})
    return {other: rule["condition"] for other, rule in found.items()}


def test_services_start_in_the_order_of_the_page(services: dict[str, Any]) -> None:
    for name in OWN - {"migrate"}:
        assert waits_for(services, name) == {"migrate": ENDED, "valkey": HEALTHY}
    assert waits_for(services, "migrate") == {"postgres": HEALTHY}
    assert waits_for(services, "proxy") == {"web": HEALTHY}
    # A circle would raise an error.
    order = list(
        TopologicalSorter({name: waits_for(services, name) for name in services}).static_order()
    )
    assert set(order) == set(services) == OWN | {"proxy", "postgres", "valkey"}


def test_what_others_wait_for_comes_about(services: dict[str, Any], with_example: Path) -> None:
    image = (with_example / "Dockerfile").read_text()
    for name in services:
        for other, condition in waits_for(services, name).items():
            check = services[other].get("healthcheck")
            if condition == ENDED:
                assert services[other]["restart"] == "no", "else it would never have ended"
            elif check is None:
                assert other in OWN
                assert "\nHEALTHCHECK " in image
            else:
                assert check["test"], other


def test_only_the_proxy_is_reached_and_only_web_processes_by_it(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"proxy": ["80:80", "443:443"], "flower": ["127.0.0.1:8001:8001"]}
    outside = {name for name, service in services.items() if "outside" in service["networks"]}
    assert outside == {"proxy", "web"}
    assert services["proxy"]["networks"] == ["outside"]


def test_every_service_has_limits_and_its_own_fit_in_them(services: dict[str, Any]) -> None:
    limits = {name: each["deploy"]["resources"]["limits"] for name, each in services.items()}
    for name in services:
        assert set(limits[name]) == {"cpus", "memory", "pids"}, name
    # Half of it is for the copy that writes the append-only file anew.
    (keys,) = re.findall(r"--maxmemory (\d+)mb", " ".join(services["valkey"]["command"]))
    assert int(keys) * 2 <= int(limits["valkey"]["memory"].removesuffix("M"))
    # docs/production.md, "Connections of the database", with 3 for administrators.
    (connections,) = re.findall(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))
    webs = services["web"]["deploy"]["replicas"] * 43
    workers = (2 + int(limits["cpu"]["cpus"])) + (2 + 1)
    assert webs + workers + 3 <= int(connections)


def test_containers_can_do_nothing_but_their_work(services: dict[str, Any]) -> None:
    for name in OWN:
        assert services[name]["init"], "it reaps what a job's subprocesses leave behind"
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
