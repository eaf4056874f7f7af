"""What the files of a project say as a whole, by their text: limits, caches, users, threads."""

import re
from functools import cached_property

from offload_dev.lint.settings.middleware import is_of_middleware
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

# Comments may stand in between. Each one ends with its line: else a long one matches in many ways.
BACKEND = r"""\s*\{(?:\s|#[^\n]*\n)*["']BACKEND["']:\s*["']"""
LOCAL_CACHE = re.compile(rf"""["'](\w+)["']:{BACKEND}[\w.]*(?:[Ll]oc[Mm]em|[Dd]ummy)""")
OTHER_CACHE = re.compile(
    rf"""["']default["']:{BACKEND}(?![\w.]*(?:locmem|dummy))[\w.]*cache""", re.IGNORECASE
)
# `session.request = functools.partial(session.request, timeout=5)`, an adapter with a timeout, or a
# wrapper that adds one to the arguments of each call.
SESSION_LIMIT = re.compile(
    r"\.(?:request|send) = (?:functools\.)?partial\([^()]*timeout=|\.mount\(.*timeout"
    r"|kwargs\.setdefault\([\"']timeout[\"']|kwargs\[[\"']timeout[\"']\] = ",
    re.IGNORECASE,
)
# A line of code that ends a task after so many seconds.
SOFT_LIMIT = re.compile(
    r"""^[^#\n]*\b(?:celeryd?_)?(?:task_)?soft_time_limit["']?\s*[=:]\s*(\d[\d_]*)\b(?!\s*\*)""",
    re.IGNORECASE | re.MULTILINE,
)
MAX_SOFT_LIMIT_SECONDS = 600
STORAGE = re.compile(r"\b(DEFAULT_FILE_STORAGE|STORAGES|storages)\b")
OF_RQ = ("django_rq", "rq.")
LOCK = ".select_for_update("
# A middleware of Channels that fetches the user by itself, and relations with it.
SETS_USER_OF_SCOPE = re.compile(r"""\bscope\[["']user["']\]\s*=[^=]""")
# What runs the plain resolvers of Strawberry: Django's sync view in a thread, others on the loop.
SYNC_GRAPHQL = re.compile(
    r"^\s*from strawberry[\w.]*\.views import [^#\n]*\bGraphQLView\b", re.MULTILINE
)
ASYNC_GRAPHQL = re.compile(
    r"AsyncGraphQLView|strawberry\.(?!django\b)\w+[\w.]* import [^#\n]*GraphQL\w"
    r"|strawberry\.(?:asgi|channels|fastapi|aiohttp)\b|await \w*schema\.execute\("
)
SETS_USER = re.compile(r"\brequest\.user\s*(:[^=\n]+)?=[^=]")


class ProjectFacts:
    """Facts about a project that hold wherever they stand in it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._prefetched: dict[str, bool] = {}

    @cached_property
    def sets_users(self) -> bool:
        """Whether a line gives `request.user` a value, as authentication of its own does.

        That of `ninja_jwt` does so, too.
        """
        return any(
            "ninja_jwt" in module.text or SETS_USER.search(module.text) is not None
            for module in self._project.files
        )

    @cached_property
    def fetches_user_of_scope(self) -> bool:
        """Whether a middleware of Channels here may fetch relations with the user."""
        return any(
            SETS_USER_OF_SCOPE.search(module.text) is not None and "_related(" in module.text
            for module in self._project.files
        )

    @cached_property
    def resolves_in_threads(self) -> bool:
        """Whether all that runs Strawberry's resolvers here is the sync view of Django."""
        texts = [m.text for m in self._project.files if "strawberry" in m.text]
        return any(map(SYNC_GRAPHQL.search, texts)) and not any(map(ASYNC_GRAPHQL.search, texts))

    @cached_property
    def locking_functions(self) -> set[str]:
        """The names of the functions and methods whose lines lock rows."""
        files = {module for module in self._project.files if LOCK in module.text}
        inside = (scope for scope in self._project.functions if scope.module in files)
        return {s.bare_name for s in inside if LOCK in s.text_of_lines}

    @cached_property
    def middleware(self) -> list[CodeScope]:
        """The functions of middleware."""
        return [scope for scope in self._project.functions if is_of_middleware(scope)]

    @cached_property
    def has_thread_locals(self) -> bool:
        """Whether a file may keep values by thread."""
        return any("threading" in m.text and "local(" in m.text for m in self._project.files)

    @cached_property
    def mixes_threads(self) -> bool:
        """Whether async views or middlewares share threads with what sync code keeps in them.

        A service without them runs each request in one thread, from its begin to its end. Others
        use a library in services of both kinds.
        """
        return not self._project.is_service or any(
            scope.on_loop and _gets_request(scope) for scope in self._project.functions
        )

    @cached_property
    def limits_tasks(self) -> bool:
        """Whether a limit of some minutes ends what a task waits for: of Celery, or that of RQ.

        RQ has one for each task: 180 seconds, or 360 with django-rq.
        """
        if any(module.uses(OF_RQ) for module in self._project.files):
            return True
        texts = (
            module.text for module in self._project.files if "time_limit" in module.text.lower()
        )
        limits = (each for text in texts for each in SOFT_LIMIT.findall(text))
        return any(int(seconds) <= MAX_SOFT_LIMIT_SECONDS for seconds in limits)

    @cached_property
    def limits_sessions(self) -> bool:
        """Whether a session of requests gets a timeout for all of its calls where it is made."""
        return any(SESSION_LIMIT.search(module.text) for module in self._project.files)

    @cached_property
    def local_caches(self) -> set[str]:
        """The names of the caches that live in the process or keep nothing, as settings say."""
        return {name for m in self._project.files for name in LOCAL_CACHE.findall(m.text)}

    @cached_property
    def has_other_storage(self) -> bool:
        """Whether the files of the project may be stored elsewhere than on this disk."""
        return any(STORAGE.search(module.text) is not None for module in self._project.files)

    @cached_property
    def has_remote_default_cache(self) -> bool:
        """Whether other settings give the default cache a server."""
        return any(OTHER_CACHE.search(module.text) is not None for module in self._project.files)

    def prefetches(self, name: str) -> bool:
        """Whether a file that prefetches relations names this one, in quotes."""
        if name not in self._prefetched:
            quoted = re.compile(rf"""["'](\w+__)*{name}(__\w+)*["']""")
            texts = (m.text for m in self._project.files if "prefetch" in m.text)
            self._prefetched[name] = any(quoted.search(text) is not None for text in texts)
        return self._prefetched[name]

    def fetches(self, name: str) -> bool:
        """Whether a file fetches a relation of this name with its rows, one row or many."""
        quoted = re.compile(rf"""_related\([^)]*["'](\w+__)*{name}(__\w+)*["']""")
        return self.prefetches(name) or any(
            quoted.search(module.text) is not None for module in self._project.files
        )


def _gets_request(scope: CodeScope) -> bool:
    """Whether a function has a parameter that holds a request."""
    arguments = getattr(scope.node, "args", None)
    return arguments is not None and any(each.arg == "request" for each in arguments.args)
