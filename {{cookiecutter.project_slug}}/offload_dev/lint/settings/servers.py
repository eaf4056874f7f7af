"""Which server runs a project, as its files for Docker, Procfile and shell say."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from offload_dev.lint.source.source_files import text_of

STARTS = re.compile(
    r"^(Procfile|Dockerfile.*|.*\.Dockerfile|(docker-)?compose.*\.ya?ml|.*\.(sh|service)|Makefile"
    r"|supervisord?.*\.conf|fly\.toml|render\.ya?ml|railway\.(json|toml)|gunicorn.*\.py)$"
)
ASYNC = re.compile(r"\b(daphne|uvicorn|hypercorn|granian|asgi)\b", re.IGNORECASE)
SYNC = re.compile(r"\b(gunicorn|uwsgi|waitress|mod_wsgi|wsgi)\b", re.IGNORECASE)
# A command whose WSGI server answers HTTP; a second one may serve WebSockets alone.
HTTP_BY_WSGI = re.compile(
    r"^[^#\n]*\b(gunicorn|uwsgi|waitress-serve)\b[^\n]*\bwsgi\b", re.MULTILINE
)
# The command of a container that starts Django's own server.
RUNSERVER = re.compile(r"^(?:CMD|ENTRYPOINT)\b[^\n]*\brunserver\b", re.MULTILINE)
# A command that starts a worker, also as a list: `["celery", "-A", "shop", "worker"]`.
WORKER = re.compile(r"^[^#\n]*\bcelery\b[^\n]*\bworker\b[^\n]*", re.MULTILINE)
POOL = re.compile(r"""(?:-P|--pool)["',\s=]*([a-z]+)""")
CONTINUED = re.compile(r"\\\n")
# Files deeper in the tree seldom start the service.
MAX_DEPTH = 3
MAX_BYTES = 100_000
SKIPPED = {"node_modules", "site-packages", "__pycache__", ".git", ".venv", "venv"}


def runs_plain_server(root: Path) -> bool:
    """Whether the files that start a project name a WSGI server, and no ASGI server."""
    texts = list(start_files(root))
    return any(map(SYNC.search, texts)) and not any(map(ASYNC.search, texts))


def serves_http_by_wsgi(root: Path) -> bool:
    """Whether a command starts a WSGI server, also beside an ASGI server."""
    return any(HTTP_BY_WSGI.search(CONTINUED.sub(" ", text)) for text in start_files(root))


def runs_development_server(root: Path) -> bool:
    """Whether a container starts Django's own server, and no start file names an ASGI server.

    It is a WSGI server, unless a package such as daphne takes its place.
    """
    texts = list(start_files(root))
    return any(map(RUNSERVER.search, texts)) and not any(map(ASYNC.search, texts))


def worker_pools(root: Path) -> set[str]:
    """The pools of all commands that start Celery's workers; `prefork` where none is named."""
    texts = (CONTINUED.sub(" ", text) for text in start_files(root))
    commands = (each for text in texts for each in WORKER.findall(text))
    pools = (POOL.search(command) for command in commands)
    return {found[1] if found else "prefork" for found in pools}


def start_files(root: Path) -> Iterator[str]:
    """The texts of the files that start a project."""
    if not root.is_dir():
        return
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(set(folders) - SKIPPED) if depth < MAX_DEPTH else []
        for name in files:
            if STARTS.match(name) and (text := text_of(Path(folder, name), MAX_BYTES)):
                yield text
