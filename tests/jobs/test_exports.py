"""A feature imports everything it needs from `offload.jobs`."""

import inspect
import pkgutil
from importlib.util import find_spec


def test_every_name_is_there_after_every_module_was_imported() -> None:
    import offload.jobs

    for module in pkgutil.walk_packages(offload.jobs.__path__, "offload.jobs."):
        # Django 5.2 has no `django.tasks`.
        needs_django_6 = module.name.endswith("task_backend") and not find_spec("django.tasks")
        if not module.name.endswith("__main__") and not needs_django_6:
            __import__(module.name)
    for name in offload.jobs.__all__:
        assert not inspect.ismodule(getattr(offload.jobs, name)), f"a module took the name {name}"


def test_a_type_checker_sees_the_same_names_as_python() -> None:
    import offload.jobs

    source = inspect.getsource(offload.jobs)
    typed = {
        line.split(" as ")[1]
        for line in source.splitlines()
        if line.startswith("    from offload.jobs")
    }
    assert typed | {"MiB"} == set(offload.jobs.__all__)


def test_the_web_process_imports_no_worker_code() -> None:
    import subprocess
    import sys

    from .conftest import _project

    code = "import sys, config.asgi, config.urls; print([n for n in sys.modules if '.worker' in n])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=_project, capture_output=True, text=True, check=True
    )
    assert "offload.jobs.worker" not in loaded.stdout
