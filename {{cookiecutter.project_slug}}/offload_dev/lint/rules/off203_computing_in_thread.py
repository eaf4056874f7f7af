"""OFF203: a thread of the web process computes."""

from collections.abc import Iterator

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.threads import Moved, moved_to_threads
from offload_dev.lint.violations import Violation, violation

LITTLE_DATA = "short with little data"


@rule(
    "OFF203",
    message="computes in a thread of the web process, which needs the core itself",
    instead="a job",
    target=Target.CALL_GRAPH,
)
def computing_in_thread(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds functions that are handed to a thread, and compute there.

    Python code holds the GIL against the event loop. Libraries such as numpy release it during
    large operations, but then take the core that the event loop needs. What waits, and what is
    short, such as hashing a password, is right in a thread.
    """
    for moved in moved_to_threads(function):
        found = violation(moved.node, f"{moved.origin.rpartition('.')[2]}()")
        computing = _first_that_computes(moved, function, graph)
        if computing is not None:
            yield found._replace(chain=computing.chain, likely=computing.likely)
            continue
        libraries = function.resolver.libraries
        if (library := libraries.find("computes", moved.origin)) and not library.in_thread:
            yield found
        elif (library := libraries.find("may_compute", moved.origin)) and not library.in_thread:
            yield found._replace(likely=LITTLE_DATA)


def _first_that_computes(moved: Moved, caller: Function, graph: CallGraph) -> Violation | None:
    called = graph.function(moved.origin)
    if called is None:
        return None
    reached = graph.blocking.of_call(called, moved.call, caller)
    return next((found for found in reached if found.computes), None)
