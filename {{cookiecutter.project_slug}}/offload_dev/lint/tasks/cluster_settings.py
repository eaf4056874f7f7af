"""What `Q_CLUSTER` of Django Q says together: how long a task may run, and when it is repeated."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.settings_files import is_settings, items
from offload_dev.lint.source.durations import seconds
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.tree import CodeScope, Module

CLUSTER = "Q_CLUSTER"
# The cluster delivers a task again after so many seconds. Source: its page "Configuration".
RETRY_SECONDS = 60
# The brokers that wait for a receipt of a task, and deliver it again without one; that of Redis
# does not. Source: the page of Django Q about its brokers.
WITH_RECEIPTS = {"orm", "sqs", "iron_mq", "mongo", "disque_nodes"}
# Settings that a later line changes are not known.
CHANGED = re.compile(rf"\b{CLUSTER}(\[[^\]]*\] *=[^=]|\.update\()")
PUBLISHES = {"django_q.tasks.async_task", "django_q.tasks.AsyncTask", "django_q.tasks.async_iter"}
NO_RECEIPTS = "right as long as its broker waits for no receipt, as that of Redis"
ENDS = "right if each task ends within that time"
ADVICE = "a `timeout`, and a `retry` above it"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The settings of a cluster, and the calls that publish a task. Three cases:

    1. A `timeout` above `retry`: the task is delivered again while it runs.
    2. No `timeout`: the same, if a task runs longer.
    3. `async_task(…, timeout=600)`, above the `retry` of the only cluster.
    """
    if CLUSTER in module.text and is_settings(module) and not _is_changed(resolver):
        cluster = items(module.names.get(CLUSTER))
        others = items(cluster.get("ALT_CLUSTERS")).values()
        for given in (cluster, *map(items, others)):
            # Another cluster takes over what it does not say.
            if given is cluster or not given.keys().isdisjoint({"timeout", "retry"}):
                yield from _of_cluster({**cluster, **given}, module, resolver)
    if "django_q" in module.text and "timeout" in module.text:
        yield from _of_calls(module, resolver)


def _is_changed(resolver: Resolver) -> bool:
    return any(CHANGED.search(module.text) is not None for module in resolver.project.files)


def _of_cluster(
    given: dict[str, ast.expr], module: Module, resolver: Resolver
) -> Iterator[Violation]:
    retry = _retry(given, module, resolver)
    limit = given.get("timeout")
    is_unlimited = limit is None or getattr(limit, "value", limit) is None
    timeout = 0 if limit is None else seconds(limit, module, resolver)
    # In a test or on a developer's machine `sync` runs tasks at once.
    if not given or "" in given or "sync" in given or not retry:
        return
    node = given.get("retry") or limit or next(iter(given.values()))
    if timeout > retry:
        subject = f"`timeout` of {timeout} seconds, with a `retry` of {retry},"
        likely = "" if WITH_RECEIPTS & given.keys() else NO_RECEIPTS
        yield violation(limit or node, subject, likely=likely, instead=ADVICE)
    elif is_unlimited and WITH_RECEIPTS & given.keys():
        subject = f"`retry` of {retry} seconds, without a `timeout`,"
        yield violation(node, subject, likely=ENDS, instead=ADVICE)


def _retry(given: dict[str, ast.expr], scope: CodeScope, resolver: Resolver) -> int:
    """After how many seconds a cluster delivers a task again; 0 if that is not known."""
    return seconds(given["retry"], scope, resolver) if "retry" in given else RETRY_SECONDS


def _of_calls(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The calls that give a task a longer time than the cluster gives it."""
    settings = resolver.settings.values(CLUSTER)
    cluster = items(settings[0][0]) if len(settings) == 1 else {}
    is_known = bool(cluster) and "" not in cluster and not _is_changed(resolver)
    retry = _retry(cluster, settings[0][1], resolver) if is_known else 0
    if not retry or not WITH_RECEIPTS & cluster.keys() or "ALT_CLUSTERS" in cluster:
        return
    inside = (scope for scope in resolver.project.functions if scope.module is module)
    for scope in (module, *inside):
        for node in own_nodes(scope.node):
            if isinstance(node, ast.Call) and resolver.origin(node.func, scope) in PUBLISHES:
                options = {each.arg or "": each.value for each in node.keywords}
                options |= items(options.get("q_options"))
                limit = options.get("timeout")
                timeout = 0 if limit is None else seconds(limit, scope, resolver)
                if timeout > retry:
                    subject = f"`timeout` of {timeout} seconds, with a `retry` of {retry},"
                    yield violation(node, subject, instead="a longer `retry` of the cluster")
