"""`make libraries`: what it says of a library that is renamed, or that cannot be imported."""

from pathlib import Path

import libraries
import pytest


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with two clients, and a module that refuses to be imported."""
    package = tmp_path / "shoplib"
    package.mkdir()
    clients = "class Sync:\n    get = print\n\nclass Other:\n    find = print\n"
    (package / "__init__.py").write_text(clients)
    (package / "extra.py").write_text("raise RuntimeError('needs another library')\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("shop")
def test_a_library_that_refuses_its_import_is_named_and_the_others_are_read() -> None:
    table = {"blocks": ["shoplib.extra.get", "shoplib.Sync.get"], "async": "shoplib.extra.Async"}
    found = list(libraries.check("shop", table))
    assert found == [
        "shop: shoplib.extra.get (shoplib.extra)",
        "shop: shoplib.extra.Async (shoplib.extra)",
    ]


@pytest.mark.usefixtures("shop")
def test_a_method_that_one_of_the_classes_has_is_there() -> None:
    table = {"blocks": ["shoplib.{Sync,Other}.{get,find,gone}"]}
    assert list(libraries.check("shop", table)) == ["shop: shoplib.Sync.gone (shoplib.Sync.gone)"]
