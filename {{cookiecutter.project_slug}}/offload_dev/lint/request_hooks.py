"""Plain functions that a thread runs while a request waits: views, and hooks of their classes."""

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import Function
from offload_dev.lint.patterns import Patterns

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
    name = scope.label.rpartition(".")[2]
    lineage = graph.resolver.classes.lineage(scope.owner.dotted)
    return any(HOOKS.matches(f"{base}.{name}") for base in lineage)
