"""OFF203: a thread of the web process computes."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.request_hooks import answers_request, is_for_staff
from offload_dev.lint.checks.archives import only_stores
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.threads import Moved, moved_to_threads
from offload_dev.lint.checks.violations import ChainStep, Violation, call_violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.libraries import SMALL_TABLE
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

THREADS = Patterns("threading.Thread")
WRITES_ROW = Patterns(
    "csv.{writer,DictWriter}.writerow", "xlsxwriter.*.write*", "openpyxl.*.append",
    "reportlab.pdfgen.canvas.Canvas.showPage", "{docx,pptx}.*.add_*", "xlwt.*.write",
    "fpdf.FPDF.{add_page,cell,multi_cell}",
)  # fmt: skip
# Those of one user, or of one day, are few.
NARROWS = {"filter", "exclude"}
FEW_ROWS = "short with few rows"
LITTLE_DATA = "short with little data"
# Further away a condition stands on the way, as a rule. A `save` computes only for a new file.
MAX_STEPS = 4
CONDITIONAL = ".save"
# Such as the sizes of a picture.
FEW_ITEMS = 5
REPEATS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@rule(
    "OFF203",
    message="computes in a thread of the web process, which needs the core itself",
    instead="a job",
    target=Target.CALL_GRAPH,
)
def computing_in_thread(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds functions that are handed to a thread, and compute there.

    Sync views, and the `run` of a thread class, run in a thread by themselves. What they come to is
    a warning, also in a thread that they start, and so is an export of all rows. A task of a queue
    runs in a worker, so its threads are none of the web process.

    What is short with little data, such as YAML and differences of texts, has little as a rule.

    Python code holds the GIL against the event loop. Libraries such as numpy release it during
    large operations, but then take the core that the event loop needs. What waits, and what is
    short, such as hashing a password, is right in a thread.
    """
    if function.is_task:
        return
    # Under a plain server no event loop waits for the core. An export for staff is rare.
    is_rare = answers_request(function, graph) and is_for_staff(function)
    runs = not is_rare and _runs_in_thread(function, graph)
    settings = graph.resolver.settings
    if runs and not (settings.runs_under_wsgi or settings.names_no_async_server):
        yield from _in_own_thread(function, graph)
        yield from _exports(function, graph)
    for moved in moved_to_threads(function):
        found = violation(moved.node, f"{moved.origin.rpartition('.')[2]}()")
        computing = _first_that_computes(moved, function, graph)
        if computing is not None and computing.in_view and not _is_repeated(computing, function):
            continue
        if computing is not None:
            likely = computing.likely or ("" if function.scope.on_loop else LITTLE_DATA)
            yield found._replace(chain=computing.chain, likely=likely)
            continue
        if only_stores(moved.origin, function.scope.module):
            continue
        libraries = function.resolver.libraries
        if (library := libraries.find("computes", moved.origin)) and not library.in_thread:
            yield found._replace(likely=library.short_if)


def _runs_in_thread(function: Function, graph: CallGraph) -> bool:
    """Whether a thread of the web process runs a function: a sync view, or `Thread.run`."""
    scope = function.scope
    if scope.on_loop or scope.owner is None:
        return answers_request(function, graph)
    is_run = scope.label.endswith(".run") and graph.resolver.classes.is_a(
        scope.owner.dotted, THREADS
    )
    return is_run or answers_request(function, graph)


def _exports(view: Function, graph: CallGraph) -> Iterator[Violation]:
    """The loops that write one line of a file for each row, in a sync view or below its calls."""
    if not view.takes_request:
        return
    yield from _written(view)
    for call, called in graph.called_on_same_thread(view):
        for found in _written(called):
            line = call.node.lineno
            steps = (view.scope, line), (called.scope, found.line)
            chain = tuple(ChainStep(scope, at, scope.label) for scope, at in steps)
            yield found._replace(line=line, chain=chain)
            break


def _written(function: Function) -> Iterator[Violation]:
    """What a function writes in a loop over all rows of a table."""
    resolver = function.resolver
    written = function.calls_to(WRITES_ROW)
    for loop in own_nodes(function.scope.node) if written else ():
        rows = function.origin_of(loop.iter) if isinstance(loop, ast.For) else ""
        is_all = resolver.queries.is_query(rows) and NARROWS.isdisjoint(rows.split("."))
        if isinstance(loop, ast.For) and is_all and not _is_filtered_before(loop.iter, function):
            inside = {node for statement in loop.body for node in all_nodes(statement)}
            for call in written:
                if call.node in inside:
                    yield call_violation(call.node, likely=FEW_ROWS)


def _is_filtered_before(rows: ast.expr, function: Function) -> bool:
    """Whether a filter set gets a narrow query: `OrderFilter(request.GET, queryset=…).qs`."""
    match rows:
        case ast.Name(id=name):
            rows = _last_value(name, function) or rows
    match rows:
        case ast.Attribute(value=ast.Name(id=name), attr="qs"):
            made = _last_value(name, function)
            given = made.keywords if isinstance(made, ast.Call) else []
            origins = [function.origin_of(each.value) for each in given if each.arg == "queryset"]
            return any(not NARROWS.isdisjoint(origin.split(".")) for origin in origins)
    return False


def _last_value(name: str, function: Function) -> ast.expr | None:
    """What the last assignment of a function gives to a variable."""
    values = [
        node.value
        for node in own_nodes(function.scope.node)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name
    ]
    return values[-1] if values else None


def _in_own_thread(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """The first line of a function, or below its calls, that computes for certain."""
    for found in (*graph.blocking.own(function), *graph.blocking.through_calls(function)):
        is_far = len(found.chain) > MAX_STEPS or any(
            step.scope.label.endswith(CONDITIONAL) for step in found.chain
        )
        is_short = found.in_view and not _is_repeated(found, function)
        is_right = found.near or is_far or (is_short and answers_request(function, graph))
        is_right = is_right or _writes_row(found, function, graph)
        if found.computes and found.likely in ("", SMALL_TABLE) and not is_right:
            chain = found.chain if len(found.chain) > 1 else ()
            yield found._replace(chain=chain, likely=found.likely or LITTLE_DATA, instead="")
            return


def _writes_row(found: Violation, view: Function, graph: CallGraph) -> bool:
    """Whether a line writes one row of a file. How many there are, `_exports` asks."""
    step = found.chain[-1] if found.chain else ChainStep(view.scope, found.line, "")
    calls = graph.functions[step.scope].calls_to(WRITES_ROW)
    return any(call.node.lineno == step.line for call in calls)


def _is_repeated(found: Violation, view: Function) -> bool:
    """Whether a loop stands around a line that computes, or around a call on the way to it.

    A short loop around the line itself is that over the sizes of one picture, which is open.
    """
    steps = found.chain or (ChainStep(view.scope, found.line, ""),)
    return any(
        node.lineno <= step.line <= (node.end_lineno or 0)
        for step in steps
        for node in own_nodes(step.scope.node)
        if isinstance(node, REPEATS) and not (step is steps[-1] and _is_short(node, step.scope))
    )


def _is_short(loop: ast.AST, scope: CodeScope) -> bool:
    """Whether a loop goes over few items that are written in its file: `for size in SIZES`."""
    items = loop.iter if isinstance(loop, ast.For) else None
    match items:
        case ast.Call(func=ast.Attribute(value=held, attr="items" | "values" | "keys"), args=[]):
            items = held
    match scope.module.names.get(items.id) if isinstance(items, ast.Name) else items:
        case ast.List(elts=written) | ast.Tuple(elts=written) | ast.Dict(values=written):
            return len(written) <= FEW_ITEMS
    return False


def _first_that_computes(moved: Moved, caller: Function, graph: CallGraph) -> Violation | None:
    called = graph.function(moved.origin)
    if called is None:
        return None
    reached = graph.blocking.of_call(called, moved.call, caller)
    return next((e for e in reached if e.computes and e.likely != LITTLE_DATA), None)
