"""Runs all rules over a project."""

import ast
from collections.abc import Iterator

from offload_dev.lint import rules  # noqa: F401 - registers the rules
from offload_dev.lint.calls import at_start
from offload_dev.lint.calls.call_graph import CallGraph, ThreadRules
from offload_dev.lint.calls.callers import Callers
from offload_dev.lint.calls.request_hooks import is_for_staff
from offload_dev.lint.checks.registry import RULES, Rule, Target, rules_for
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.report.findings import Finding, finding
from offload_dev.lint.report.suppressions import Suppressions
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

# Further away from a sync view a condition stands on the way, as a rule.
MAX_STEPS = 3
FEW_REQUESTS = "right if only few requests come here"


def grade(project: Project) -> list[Finding]:
    """Every finding in a project that no comment suppresses, in the order of files and lines."""
    graph = CallGraph(project, _thread_rules())
    callers = Callers(graph)
    found = {
        finding(violation, scope.module.path, project.root)
        for scope, violation in at_start.sort_out(_violations(graph, callers), callers)
    }
    for rule in rules_for(Target.PROJECT):
        found |= {finding(each, project.root, project.root) for each in rule.violations(project)}

    suppressions = Suppressions(project)
    kept = list(suppressions.apply(_without_repeats(found)))
    for rule in rules_for(Target.SUPPRESSIONS):
        kept += (
            finding(each, project.root, project.root) for each in rule.violations(suppressions)
        )
    return sorted(kept)


def _without_repeats(found: set[Finding]) -> Iterator[Finding]:
    """The findings, with one chain at most for a line and a rule: a certain and short one.

    Where the line itself breaks the rule for certain, no chain is needed.
    """
    seen = {_where(each) for each in found if not each.chain and not each.likely}
    for each in sorted(found, key=lambda each: (bool(each.likely), len(each.chain), each)):
        if not each.chain:
            yield each
        elif _where(each) not in seen:
            seen.add(_where(each))
            yield each


def _where(finding: Finding) -> tuple[str, int, str]:
    return finding.path, finding.line, finding.rule


def _violations(graph: CallGraph, callers: Callers) -> Iterator[tuple[CodeScope, Violation]]:
    """The violations of all modules and functions."""
    project = graph.project
    modules = rules_for(Target.MODULE)
    bodies = rules_for(Target.MODULE_BODY)
    for module in project.modules.values():
        yield from _found(modules, module, module, project)
        yield from _found(bodies, module, graph.bodies[module])

    functions = rules_for(Target.FUNCTION)
    async_functions = rules_for(Target.ASYNC_FUNCTION)
    of_graph = rules_for(Target.CALL_GRAPH)
    for scope, function in graph.functions.items():
        anywhere = (*_found(functions, scope, function), *_found(of_graph, scope, function, graph))
        for place, each in anywhere:
            if not each.near or callers.serves_requests(scope):
                yield place, each
        if scope.on_loop:
            yield from _found(async_functions, scope, function)
        if graph.runs_on_loop(scope):
            for each in _on_loop(function, graph, callers):
                unsure = graph.may_run_on_loop(scope)
                yield scope, each._replace(likely=each.likely or unsure)
        elif graph.is_view(scope) and not is_for_staff(function):
            for each in (*graph.blocking.own(function), *graph.blocking.through_calls(function)):
                if RULES[each.rule].in_sync_views and len(each.chain) <= MAX_STEPS:
                    yield scope, each._replace(likely=each.likely or FEW_REQUESTS)


def _on_loop(function: Function, graph: CallGraph, callers: Callers) -> Iterator[Violation]:
    """What a function does to the event loop that runs it."""
    serves_requests = callers.serves_requests(function.scope)
    answers = function.takes_request or callers.is_tool(function.scope)
    for each in graph.blocking.own(function):
        if (not each.near or serves_requests) and not graph.is_closed(function.scope, each):
            yield each
    for each in graph.blocking.through_calls(function):
        is_near = answers or (serves_requests and not each.likely)
        if (not each.near or is_near) and not graph.is_closed(function.scope, each):
            yield each


def _found(
    some_rules: list[Rule], scope: CodeScope, *checked: object
) -> Iterator[tuple[CodeScope, Violation]]:
    for rule in some_rules:
        for violation in rule.violations(*checked):
            yield scope, violation


def _thread_rules() -> ThreadRules:
    """All rules about what a function does to its thread, as one."""
    thread_rules = rules_for(Target.THREAD)
    call_rules = [rule for rule in thread_rules if rule.check_call]

    def find(function: Function) -> Iterator[Violation]:
        for rule in thread_rules:
            yield from rule.violations(function)

    def find_at_call(function: Function, call: ast.Call, caller: Function) -> Iterator[Violation]:
        for rule in call_rules:
            yield from rule.violations_at_call(function, call, caller)

    return ThreadRules(find, find_at_call)
