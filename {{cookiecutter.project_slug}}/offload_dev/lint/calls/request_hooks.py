"""Plain functions that a thread runs while a request waits: views, and hooks of their classes."""

import ast
import re

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.patterns import Patterns

# Methods without a parameter `request`, by the class that calls them.
HOOKS = Patterns(
    "django.views.generic.*.{form_valid,get_context_data,get_queryset,get_object,get_initial}",
    "django.contrib.auth.views.*.{form_valid,get_context_data}",
    "{rest_framework,adrf}.{generics,viewsets,mixins}.*.perform_{create,update,destroy}",
    "{rest_framework,adrf}.{generics,viewsets,mixins}.*.{get_queryset,get_object}",
    "{rest_framework,adrf}.*Serializer.{create,update,to_representation,validate}",
    "django.forms.*Form.{clean,clean_*}",
)


def answers_request(function: Function, graph: CallGraph) -> bool:
    """Whether a request waits for a plain function: a view, or a hook of a view or a form."""
    scope = function.scope
    if scope.on_loop or graph.is_view(scope):
        return not scope.on_loop
    if scope.owner is None:
        return False
    name = scope.bare_name
    lineage = graph.resolver.classes.lineage(scope.owner.dotted)
    return any(HOOKS.matches(f"{base}.{name}") for base in lineage)


# `@staff_member_required`, `permission_classes = [IsAdminUser]`, `@user_passes_test(is_superuser)`.
STAFF = re.compile(r"staff|admin|superuser|manager_?required|is_?manager", re.IGNORECASE)
OF_ADMIN = re.compile(r"(?<![a-z])admin(?![a-z])")
PERMISSIONS = "permission_classes"


def is_for_staff(function: Function) -> bool:
    """Whether only staff comes to a view, so that requests are few. Three signs:

    1. A decorator of the view or of its class, such as `@admin.action`.
    2. A base of its class, such as `StaffRequiredMixin`, or its permissions.
    3. A file or folder of an admin: `admin`, `admin_views`.
    """
    scope = function.scope
    owner = scope.owner.node if scope.owner is not None else None
    given = [*getattr(scope.node, "decorator_list", ())]
    if isinstance(owner, ast.ClassDef):
        given += [*owner.decorator_list, *owner.bases]
        for statement in owner.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == PERMISSIONS:
                    given.append(value)
    is_of_admin = OF_ADMIN.search(scope.module.dotted) is not None
    return is_of_admin or any(STAFF.search(ast.unparse(each)) for each in given)
