"""The image of a generated service: what is in it, and who may change it."""

from pathlib import Path

from .buildah import Builder
from .containers import USER_ID

MAX_BYTES_BEYOND_THE_BASE = 250 * 1000 * 1000


def test_the_image_has_what_production_runs_and_nothing_else(root: Path) -> None:
    app = {path.name for path in (root / "app").iterdir()} - {"__pycache__"}
    assert app == {"config", "manage.py", "offload", "risk_desk", "var"}
    assert not list((root / "app").rglob(".env*"))
    assert not list((root / "app").rglob("tests"))
    assert not (root / "build").exists()
    installed = {path.name for path in (root / "opt/venv/lib").glob("python*/site-packages/*")}
    assert {"django", "celery", "uvicorn"} <= installed
    assert not installed & {"pip", "uv", "pytest", "ruff", "mypy", "cookiecutter"}


def test_the_image_is_small(builder: Builder) -> None:
    beyond = builder.size("localhost/service") - builder.size("localhost/base")
    print(f"{beyond / 1e6:.0f} MB beyond the base")
    assert 0 < beyond < MAX_BYTES_BEYOND_THE_BASE


def test_the_image_says_who_runs_it_and_how(builder: Builder) -> None:
    config = builder.inspect("localhost/service")
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["Cmd"] == ["python", "-m", "offload.serving"]
    assert not config["Entrypoint"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-P", "offload/serving/health.py"]
    assert config["Labels"]["org.opencontainers.image.title"] == "risk_desk"
    assert config["Volumes"] == {"/app/var": {}}


def test_nobody_but_root_could_change_the_code(root: Path) -> None:
    for folder in (root / "app", root / "opt/venv"):
        for path in (folder, *folder.rglob("*")):
            if not path.is_relative_to(root / "app/var") and not path.is_symlink():
                assert path.stat().st_uid == 0, path
                assert not path.stat().st_mode & 0o022, path
