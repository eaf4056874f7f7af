"""Methods of this project that a framework's own method calls: `clean` of `form.is_valid()`."""

from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

FORMS = Patterns("django.forms.*Form", "django.forms.{forms,models}.*Form", "*.forms.*ModelForm")
SERIALIZERS = Patterns("{rest_framework,adrf}.*Serializer")


class Hooks(NamedTuple):
    """What the methods of some classes call.

    Args:
        bases: the classes.
        called: by the method that is called, the methods that it calls. `clean_*` stands for all
            that begin like this.
    """

    bases: Patterns
    called: dict[str, tuple[str, ...]]


HOOKS = (
    Hooks(
        FORMS,
        {
            "is_valid": ("clean", "clean_*"),
            "full_clean": ("clean", "clean_*"),
            "errors": ("clean", "clean_*"),
        },
    ),
    Hooks(
        SERIALIZERS,
        {
            "is_valid": ("validate", "validate_*", "to_internal_value", "run_validation"),
            "save": ("create", "update"),
            "data": ("to_representation", "get_*"),
        },
    ),
)


def hooks_of(owner: str, method: str, classes: Classes) -> Iterator[CodeScope]:
    """The methods of a class of this project that a call of a framework's method runs."""
    if classes.scope(owner) is None or classes.method(owner, method) is not None:
        return
    for hooks in HOOKS:
        if method in hooks.called and classes.is_a(owner, hooks.bases):
            for name in classes.method_names(owner):
                if any(_fits(name, hook) for hook in hooks.called[method]):
                    found = classes.method(owner, name)
                    if found is not None:
                        yield found


def _fits(name: str, hook: str) -> bool:
    return name.startswith(hook[:-1]) if hook.endswith("*") else name == hook
