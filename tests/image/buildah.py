"""Builds the image of a service without an engine."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# The base: Debian with its own Python, as far from `python:slim` as the Dockerfile allows.
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
# How this machine reaches the registry of packages; a build of a team's own has it in its builder.
SHARED_FOLDERS = ("/etc/ssl", "/etc/pip.conf")


def require_buildah() -> None:
    """Skip the tests where there is no buildah; or fail, if it is required."""
    tools = ("buildah", "mmdebstrap", "unshare", "ip")
    missing = [name for name in tools if not shutil.which(name)]
    if not missing and os.geteuid() == 0:
        return
    reason = f"missing: {', '.join(missing)}" if missing else "they need root"
    if os.environ.get("REQUIRE_BUILDAH"):
        pytest.fail(f"REQUIRE_BUILDAH is set, and the image cannot be built: {reason}")
    pytest.skip(f"THE IMAGE WAS NOT BUILT: {reason}")


class Builder:
    """A store of images of the tests' own, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """buildah with these arguments; what it prints."""
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        command = ["buildah", *store, "--storage-driver", "vfs", *arguments]
        ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        return ran.stdout.strip()

    def make_base(self, archive: Path) -> None:
        """The image `localhost/base`. Its archive is kept for the next run."""
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            new = archive.with_name("new.tar")
            command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(new)]
            subprocess.run(command, check=True, capture_output=True)
            new.replace(archive)
        container = self.run("from", "scratch")
        self.run("add", container, str(archive), "/")
        self.run("commit", "--quiet", "--rm", container, "localhost/base")

    def build(self, project: Path) -> None:
        """The image `localhost/service`, of the project's own Dockerfile."""
        # uv has certificates of its own, unless it is told to use the machine's.
        settings = self.folder / "uv.toml"
        settings.write_text("native-tls = true\n")
        shared = [f"{path}:{path}:ro" for path in SHARED_FOLDERS if Path(path).exists()]
        volumes = [f"--volume={each}" for each in (*shared, f"{settings}:/etc/uv/uv.toml:ro")]
        options = ["--isolation=chroot", "--format=docker", "--build-arg=BASE=localhost/base"]
        self.run("build", *options, *volumes, "--tag=localhost/service", ".", cwd=project)

    def inspect(self, image: str) -> dict[str, Any]:
        """The configuration of an image, as Docker has it."""
        found: dict[str, Any] = json.loads(self.run("inspect", "--type=image", image))
        return found["Docker"]["config"]  # type: ignore[no-any-return]

    def size(self, image: str) -> int:
        """Bytes of an image's layers."""
        manifest = json.loads(json.loads(self.run("inspect", "--type=image", image))["Manifest"])
        return sum(layer["size"] for layer in manifest["layers"])

    def mount(self, image: str) -> Path:
        """The root file system of a new container."""
        return Path(self.run("mount", self.run("from", "--pull-never", image)))
