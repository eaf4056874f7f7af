"""What lines call without a call: querysets that they evaluate, properties, special methods."""

import ast
import re
from collections.abc import Iterator
from copy import copy

from offload_dev.lint.functions.fetched_rows import Rows
from offload_dev.lint.functions.function import CallSite, Evaluated, Function, HiddenQuery
from offload_dev.lint.functions.related_reads import RelatedReads
from offload_dev.lint.functions.variables import Variables
from offload_dev.lint.origins.hooks import FORMS
from offload_dev.lint.source.names import (
    LOGGING,
    ORM,
    ORM_CONSUMERS,
    REDIRECTS,
    RENDERERS,
    REQUEST,
    REST_REQUEST,
    TASK_RESULTS,
    TO_THREAD,
)
from offload_dev.lint.source.patterns import Patterns

# Methods of managers that read what `prefetch_related` has fetched, if it has.
FREE_IF_PREFETCHED = {"all", "count", "exists", "first", "last"}
MAY_KNOW = "right if this row got the related one before"
WITH_USER = "right if the authentication fetched it with the user"
USERS = (f"{REQUEST}.user", f"{REST_REQUEST}.user")
PAGINATOR = "django.core.paginator.Paginator"
SERIALIZES = Patterns("django.core.serializers.serialize")
MAKES_DICT = Patterns("django.forms.{,models.}model_to_dict")
VALIDATING = {"is_valid", "errors", "full_clean"}
VALIDATES = re.compile(rf"\.({'|'.join(VALIDATING)})\b")
READS = {"builtins.getattr", "builtins.hasattr"}
COUNTED = {"count", "num_pages", "page_range"}
ROWS_OF_PAGE = {"object_list"}
# They read a generator only as far as somebody reads them.
LAZY_CONSUMERS = {f"builtins.{name}" for name in ("enumerate", "filter", "iter", "map", "zip")}


class Evaluations:
    """Writes into a function what its lines evaluate.

    Attributes:
        atomic: whether the current line stands in `with transaction.atomic()`.
        awaited: the calls that are awaited at once.
    """

    def __init__(self, function: Function, variables: Variables) -> None:
        self.function, self.variables = function, variables
        self.resolver, self.origin = variables.resolver, variables.origin
        self.related = RelatedReads(function, variables)
        self.atomic = False
        self.awaited: set[ast.AST] = set()
        # The forms that a line above has validated, here or in a thread, as they are written.
        self.validated: set[str] = set()
        self.has_pages = function.scope.module.has("Paginator")

    # Attributes and special methods.

    def read_attribute(self, node: ast.Attribute) -> None:
        """Note what reading an attribute calls."""
        base = self.origin(node.value)
        if node.attr == "user" and base == REQUEST:
            self.function.users.append(node)
        elif self._is_relation_of_user(base, node):
            self.function.hidden_queries.append(HiddenQuery(node, likely=WITH_USER))
        elif base == f"{REQUEST}.user" and not isinstance(node.value, ast.Attribute):
            # `user = request.user`, and then `user.name`.
            self.function.users.append(node.value)
        elif TASK_RESULTS.matches(base):
            self.function.read_of_results.append(node)
        elif self.resolver.models.is_relation(base, node.attr):
            is_assigned = ast.unparse(node) in self.variables.assigned
            if self.variables.lacks(node) and not is_assigned:
                self.function.hidden_queries.append(HiddenQuery(node))
            elif isinstance(node.value, ast.Name) and node.value.id == "self":
                self.function.relations_of_self.append(node)
            elif not is_assigned and self.variables.is_kept_row(node.value):
                self.function.hidden_queries.append(HiddenQuery(node, likely=MAY_KNOW))
        elif node.attr in VALIDATING and self.resolver.classes.is_a(base, FORMS):
            self._validate(node, base)
        elif base == PAGINATOR and node.attr in COUNTED and (rows := self._paged(node.value, node)):
            self.evaluate(rows)
        elif node.attr == "data" and (rows := self.related.serialized(node.value)) is not None:
            self.evaluate(rows)
            self.related.read_by_serializer(node, rows)
            self._add_implicit_call(node, node.value, f"{base}.data")
        else:
            method = self.resolver.classes.method(base, node.attr)
            if method is not None and self.resolver.decorators.is_property(method):
                self._add_implicit_call(node, node.value, f"{base}.{node.attr}")
            elif method is None and self._is_made_up(base, node.attr):
                self.implicit_call(node.value, "__getattr__")
            elif self.resolver.libraries.find("special", f"{base}.__getattr__"):
                self._add_implicit_call(node, node.value, f"{base}.__getattr__")

    def _validate(self, node: ast.Attribute, form: str) -> None:
        """Note what `form.errors` calls, if nothing has validated the form before."""
        name = ast.unparse(node.value)
        if node.attr == "errors" and name not in self.validated:
            self._add_implicit_call(node, node.value, f"{form}.errors")
        self.validated.add(name)

    def _is_relation_of_user(self, base: str, node: ast.Attribute) -> bool:
        """Whether this is `request.user.company`, where the user has been read before."""
        if base not in USERS or not self.resolver.models.is_relation(
            self.resolver.models.user, node.attr
        ):
            return False
        facts, text = self.resolver.facts, self.function.scope.module.text
        is_read = base != USERS[0] or facts.sets_users or "django_auth" in text
        return is_read and not facts.fetches(node.attr)

    def _is_made_up(self, owner: str, name: str) -> bool:
        """Whether a class has no such attribute, so that its `__getattr__` answers."""
        classes = self.resolver.classes
        if classes.scope(owner) is None or classes.method(owner, "__getattr__") is None:
            return False
        is_known = classes.member(owner, name) or classes.annotation(owner, name)
        is_own = all(classes.scope(base) is not None for base in classes.lineage(owner) if base)
        return is_own and not is_known and not classes.assigned(owner, name)

    def implicit_call(self, node: ast.expr, *names: str) -> None:
        """Note the special method that Python calls on an object; the first one that there is."""
        origin = self.origin(node)
        named = getattr(node, "id", getattr(node, "attr", ""))
        is_class = named in ("cls", origin.rpartition(".")[2])
        if self.resolver.classes.scope(origin) is None:
            find = self.resolver.libraries.find
            found = (name for name in names if find("special", f"{origin}.{name}"))
        elif is_class:
            return
        else:
            found = (name for name in names if self.resolver.classes.method(origin, name))
        if name := next(found, None):
            function = ast.copy_location(ast.Attribute(node, name, ast.Load()), node)
            self._add_implicit_call(function, node, f"{origin}.{name}")

    def _add_implicit_call(self, function: ast.Attribute, on: ast.expr, origin: str) -> None:
        call = ast.copy_location(ast.Call(function, [], []), function)
        self.function.calls_by_node[call] = CallSite(call, origin, (), False, False, self.atomic)
        if function.attr == "__iter__":
            self.function.iterated.add(call)
        if self.variables.is_fresh(on):
            self.function.calls_on_rows.add(call)

    def write_as_text(self, values: list[ast.expr]) -> None:
        """Note what writing these values into a text calls."""
        for value in values:
            self.evaluate(value)
            self.implicit_call(value, "__str__", "__repr__")

    # Calls.

    def note_call(self, node: ast.Call, origin: str) -> None:
        """Note the querysets that a call evaluates, and the row that it is called on."""
        on = node.func.value if isinstance(node.func, ast.Attribute) else None
        if on is not None and self.variables.is_fresh(on):
            self.function.calls_on_rows.add(node)
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        fresh = filter(self.variables.is_fresh, given)
        self.function.fresh_arguments += ((node, row) for row in fresh)
        first = node.args[0] if node.args else None
        if first is not None:
            self._note_first_argument(node, origin, first)
            self.related.read_by_schema(node, first)
        match node:
            case ast.Call(args=[held, ast.Constant(value=str() as name), *_]) if origin in READS:
                self.read_attribute(ast.copy_location(ast.Attribute(held, name, ast.Load()), node))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[row]):
                self.variables.add_row(name, row)
        if LOGGING.matches(origin):
            self.write_as_text(node.args[1:])
        if RENDERERS.matches(origin):
            for name, value in self._context_of(node):
                self.evaluate(value, likely=f"evaluates if the template reads `{name}`")
        self._note_prefetch(node, origin)
        self._note_validation(node, origin)

    def _note_validation(self, node: ast.Call, origin: str) -> None:
        """Note the forms that a call gives to a function of the project which validates them.

        That function may run in a thread: `await sync_to_async(check)(form)`.
        """
        handed = node.func.args if isinstance(node.func, ast.Call) else []
        called = [origin, *map(self.origin, handed)]
        functions = filter(None, map(self.resolver.function, called))
        if any(VALIDATES.search(each.text_of_lines) for each in functions):
            self.validated.update(map(ast.unparse, node.args))

    def _note_first_argument(self, node: ast.Call, origin: str, first: ast.expr) -> None:
        if ORM_CONSUMERS.matches(origin):
            if origin not in LAZY_CONSUMERS:
                self.note_iteration(first)
            self.evaluate(first)
            self.implicit_call(first, *_special_methods(origin))
        elif isinstance(node.func, ast.Attribute) and _reads_all(node.func):
            self.note_iteration(first)
            self.evaluate(first)
        if SERIALIZES.matches(origin) and len(node.args) > 1:
            self.evaluate(node.args[1])
        if MAKES_DICT.matches(origin) and not node.keywords and len(node.args) == 1:
            self.related.read_by_dict(node, first)
        if REDIRECTS.matches(origin):
            self.implicit_call(first, "get_absolute_url")
        if isinstance(node.func, ast.Attribute) and is_text(node.func.value):
            self.write_as_text([*node.args, *(keyword.value for keyword in node.keywords)])

    # Loops and conditions.

    def iterate(self, target: ast.expr, source: ast.expr, *, is_async: bool) -> None:
        """Note what a loop over a source evaluates, and what its target holds."""
        if not is_async:
            self.note_iteration(source)
            self.evaluate(source)
            self.implicit_call(source, "__iter__")

        origin = self.origin(source)
        pairs = [(each, self._iterated(part)) for each, part in self._pairs(target, source)]
        local = self.variables.local
        element = self.resolver.containers.element(source, self.function.scope, local)
        element = element or self.variables.element(source)
        self.variables.forget(target)
        is_query = self.resolver.queries.is_query(origin)
        if is_query and is_async:
            self.function.streamed.append(source)
            if isinstance(source, ast.Name):
                self.variables.fetched.add(source.id)
        if isinstance(target, ast.Name):
            # `values_list` and the like give plain values, which have no relations.
            row = self.resolver.queries.row(origin) if is_query else element
            self.variables.local[target.id] = row
        for each, rows in pairs:
            if isinstance(each, ast.Name) and rows is not None:
                self.variables.keep_row(each.id, rows)

    def _iterated(self, source: ast.expr) -> Rows | None:
        is_unsure = source in self.function.maybe_prefetched
        return None if is_unsure else self.variables.iterated(source)

    def _pairs(self, target: ast.expr, source: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
        """The variables of a loop, each with what it goes through; `enumerate` has two."""
        match target, source:
            case ast.Tuple(elts=[_, each]), ast.Call(func=called, args=[held, *_]) if (
                self.origin(called) == "builtins.enumerate"
            ):
                return [(each, held)]
            case ast.Tuple(elts=elements), ast.Call(func=called, args=args) if (
                self.origin(called) == "builtins.zip"
            ):
                return list(zip(elements, args, strict=False))
            case ast.Tuple(elts=[_, each]), ast.Call(func=ast.Attribute(value=held, attr="items")):
                values = ast.Call(ast.Attribute(held, "values", ast.Load()), [], [])
                return [(each, ast.copy_location(values, source))]
        return [(target, source)]

    def note_iteration(self, source: ast.expr) -> None:
        """Note that a line runs a generator. Calling its function alone runs nothing of it."""
        values = self.variables.values
        made = values.get(source.id) if isinstance(source, ast.Name) else source
        if made is not None:
            self.function.iterated.add(made)
        if isinstance(made, ast.Call) and self.origin(made.func) in LAZY_CONSUMERS:
            self.function.iterated.update(made.args)

    def evaluate_condition(self, test: ast.expr) -> None:
        """Note the querysets that a condition evaluates."""
        for part in test.values if isinstance(test, ast.BoolOp) else [test]:
            self.evaluate(part.operand if isinstance(part, ast.UnaryOp) else part)

    # Queries.

    def evaluate(self, node: ast.expr, likely: str = "") -> None:
        """Note a queryset that a line evaluates. `await` of one fails before it is read."""
        if isinstance(node, ast.Await) and not self._is_returned(node.value):
            return
        if self.has_pages:
            node = self._of_page(node) or node
        origin = self.origin(node)
        is_fetched = isinstance(node, ast.Name) and node.id in self.variables.fetched
        if not self.resolver.queries.is_query(origin) or node in self.awaited or is_fetched:
            return
        self._note_prefetch(node, origin)
        if node in self.function.maybe_prefetched:
            name = self.function.maybe_prefetched[node]
            if self.resolver.facts.prefetches(name):
                return
            likely = f"queries unless `prefetch_related` has fetched `{name}`"
        self.function.evaluated.append(Evaluated(node, origin, likely, self.atomic))

    def _of_page(self, node: ast.expr) -> ast.expr | None:
        """The queryset of a page, which reads its rows when somebody iterates over it."""
        held = node.value if isinstance(node, ast.Attribute) and node.attr in ROWS_OF_PAGE else node
        made = self.variables.run(self.variables.value_of(held))
        match made:
            case ast.Call(func=ast.Attribute(value=paginator, attr="page" | "get_page")):
                return self._paged(paginator, node)
        return None

    def _paged(self, node: ast.expr, at: ast.expr) -> ast.expr | None:
        """The queryset of which a `Paginator` is made; None if it is made of something else.

        Args:
            at: the line that reads it.
        """
        made = self.variables.value_of(node)
        if not isinstance(made, ast.Call) or not made.args or self.origin(made.func) != PAGINATOR:
            return None
        is_query = self.resolver.queries.is_query(self.origin(made.args[0]))
        return ast.copy_location(copy(made.args[0]), at) if is_query else None

    def _is_returned(self, node: ast.expr) -> bool:
        """Whether a coroutine gives the queryset: of an async function, or of another thread."""
        called = node.func if isinstance(node, ast.Call) else None
        wrapper = called.func if isinstance(called, ast.Call) else called
        origin = self.origin(wrapper)
        scope = self.resolver.function(origin)
        if scope is None:
            return TO_THREAD.matches(origin)
        decorators = self.resolver.decorators.of(scope)
        return scope.on_loop or any(TO_THREAD.matches(each) for each, _ in decorators)

    def _note_prefetch(self, node: ast.expr, origin: str) -> None:
        """Note a query of related rows that `prefetch_related` may have fetched before."""
        query = self.resolver.models.query(origin)
        if query is None or not query.methods or not set(query.methods) <= FREE_IF_PREFETCHED:
            return
        manager = query.manager.rpartition(".")[2]
        if manager in ORM["managers"] or self.resolver.models.manager_classes(
            query.manager.rpartition(".")[0], manager
        ):
            return
        root: ast.expr = node
        while isinstance(root, ast.Call | ast.Attribute):
            root = root.func if isinstance(root, ast.Call) else root.value
        row = self.variables.rows.get(root.id) if isinstance(root, ast.Name) else None
        if row is None or row.names(manager):
            self.function.maybe_prefetched[node] = manager

    def _context_of(self, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        """The names and values that a call of `render` gives to a template."""
        for given in [*call.args, *(keyword.value for keyword in call.keywords)]:
            if isinstance(given, ast.Name):
                yield from self.variables.items.get(given.id, ())
            context = self.variables.value_of(given)
            if isinstance(context, ast.Dict):
                for key, value in zip(context.keys, context.values, strict=True):
                    if isinstance(key, ast.Constant):
                        yield str(key.value), value


def is_text(node: ast.expr) -> bool:
    """Whether this is a text that is written here."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _special_methods(consumer: str) -> tuple[str, ...]:
    """The methods that a built-in function calls on its argument."""
    match consumer.rpartition(".")[2]:
        case "str" | "print":
            return ("__str__", "__repr__")
        case "repr":
            return ("__repr__",)
        case "len":
            return ("__len__",)
        case "bool":
            return ("__bool__", "__len__")
    return ("__iter__",)


def _reads_all(function: ast.Attribute) -> bool:
    """Whether a method reads all of its argument: `", ".join(names)`, `rows.extend(more)`."""
    return function.attr == "extend" or (function.attr == "join" and is_text(function.value))
