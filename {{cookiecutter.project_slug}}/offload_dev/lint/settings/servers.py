"""Which server runs a project, as its files for Docker, Procfile and shell say."""

import re

from offload_dev.lint.source.project import Project

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


def runs_plain_server(project: Project) -> bool:
    """Whether the files that start a project name a WSGI server, and no ASGI server."""
    texts = project.start_files
    return any(map(SYNC.search, texts)) and not any(map(ASYNC.search, texts))


def serves_http_by_wsgi(project: Project) -> bool:
    """Whether a command starts a WSGI server, also beside an ASGI server."""
    return any(HTTP_BY_WSGI.search(CONTINUED.sub(" ", text)) for text in project.start_files)


def runs_development_server(project: Project) -> bool:
    """Whether a container starts Django's own server, and no start file names an ASGI server.

    It is a WSGI server, unless a package such as daphne takes its place.
    """
    texts = project.start_files
    return any(map(RUNSERVER.search, texts)) and not any(map(ASYNC.search, texts))


def worker_pools(project: Project) -> set[str]:
    """The pools of all commands that start Celery's workers; `prefork` where none is named."""
    texts = (CONTINUED.sub(" ", text) for text in project.start_files)
    commands = (each for text in texts for each in WORKER.findall(text))
    pools = (POOL.search(command) for command in commands)
    return {found[1] if found else "prefork" for found in pools}
