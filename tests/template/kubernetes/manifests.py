"""What the manifests say, by kind and name."""

import re
from collections.abc import Iterator
from typing import Any

from template.pages import blocks

Documents = list[dict[str, Any]]


def of_kind(documents: Documents, *kinds: str) -> Documents:
    return [each for each in documents if each["kind"] in kinds]


def named(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(documents, kind) if each["metadata"]["name"] == name)
    return found


def pods(documents: Documents) -> dict[str, dict[str, Any]]:
    """The pod of each Deployment and Job, with its labels."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in of_kind(documents, "Deployment", "Job")
    }


def containers(documents: Documents) -> dict[str, dict[str, Any]]:
    """The one container of each pod."""
    found = {}
    for name, pod in pods(documents).items():
        (found[name],) = pod["spec"]["containers"]
    return found


def settings(documents: Documents) -> dict[str, str]:
    (found,) = of_kind(documents, "ConfigMap")
    values: dict[str, str] = found["data"]
    return values


def size(quantity: str) -> int:
    """Bytes, of Kubernetes' or Compose's notation."""
    number, unit = re.fullmatch(r"(\d+)([MG])i?", quantity).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** {"M": 2, "G": 3}[unit]


def variables(page: str, first: str) -> dict[str, str]:
    """The variables of the block of a page that begins with this name."""
    (found,) = (block.text for block in blocks(page) if block.text.startswith(f"{first}="))
    return dict(line.split("=", 1) for line in found.splitlines())


def selected(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    rules = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "NotIn" for rule in rules)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(rule["key"]) not in rule["values"] for rule in rules
    )


def selectors(documents: Documents) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The name of each object that selects pods, its selector, and its kind."""
    for each in documents:
        spec = each.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if each["kind"] == "Service":
            selector = {"matchLabels": selector}
        if selector is not None:
            yield each["metadata"]["name"], selector, each["kind"]
