"""Whether a name in the code may stand for a certain function or class of the project."""

import ast
import re
from functools import cached_property

from offload_dev.lint.calls.mentions import Mention
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, own_nodes
from offload_dev.lint.source.tree import CodeScope, Module

# Imports are followed through this many modules that only pass a name on.
MAX_STEPS = 5
IMPORTS = re.compile(r"\b(import_module|__import__|import_string)\(")


class Uses:
    """Tells the places that may use a function or class from those that only share its name.

    Not all that has the name of a function is one: `prompts.summary` of another module, a local
    variable, a method of a class that has nothing to do with it. What source does not tell counts
    as a use.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver, self._project = resolver, resolver.project
        self._classes = resolver.classes
        # A service may put any of its folders on the path of imports.
        self._packages = {part for name in resolver.project.modules for part in name.split(".")}
        self._locals: dict[CodeScope, set[str]] = {}
        self._related: dict[tuple[str, str], bool] = {}

    def may_name(self, mention: Mention, named: CodeScope) -> bool:
        """Whether a mention of its name may stand for a function or class. Three cases:

        1. A text, which may be read as a name.
        2. A plain name: in its own module, in one that imports it, or in the class around it.
        3. An attribute: of a module, of the instance of a method, of a variable.
        """
        scope, node = mention.scope, mention.node
        match node:
            case ast.Name(id=name):
                return isinstance(node.ctx, ast.Load) and self._is_bare(name, scope, named)
            case ast.Attribute(value=value, attr=attr):
                return self._is_attribute(node, value, attr, scope, named)
        return True

    def _is_bare(self, name: str, scope: CodeScope, named: CodeScope) -> bool:
        if named.owner is not None:
            return scope is named.owner
        binder = self._binder(name, scope)
        if binder is None:
            return bool(scope.module.stars)
        value = binder.names.get(name)
        if binder is named.parent:
            return True
        return isinstance(value, str) and self._leads_to(value, named)

    def _is_attribute(
        self, node: ast.expr, value: ast.expr, attr: str, scope: CodeScope, named: CodeScope
    ) -> bool:
        if _is_instance(value):
            if named.owner is None:
                return False
            owner = _class_around(scope)
            return owner is None or self._are_related(owner, named.owner)
        path = self._imported_path(value, scope)
        if path:
            full = scope.module.named(f"{path}.{attr}")
            if full.rpartition(".")[0] in self._project.modules:
                return named.owner is None and self._leads_to(full, named)
            if full.partition(".")[0] not in self._packages:
                owner = named.owner
                return owner is not None and path in self._classes.lineage(owner.dotted)
        if named.owner is None:
            return not self._is_variable(value, scope)
        local = self._resolver.locals(scope) if isinstance(scope.node, Def) else None
        found = self._resolver.function(self._resolver.origin(node, scope, local))
        if found is None or found is named or found.owner is None:
            return True
        return self._are_related(found.owner, named.owner)

    @cached_property
    def _importing(self) -> set[Module]:
        """The files that import modules by their names."""
        return {each for each in self._project.files if IMPORTS.search(each.text) is not None}

    def _is_variable(self, value: ast.expr, scope: CodeScope) -> bool:
        """Whether this is a parameter or a local variable, or an attribute of one: no module is.

        A file that imports by name may hold modules in its variables.
        """
        while isinstance(value, ast.Attribute):
            value = value.value
        if not isinstance(value, ast.Name) or scope.module in self._importing:
            return False
        binder = self._binder(value.id, scope)
        return binder is not None and value.id in self._local_names(binder)

    def names_for_certain(self, mention: Mention, named: CodeScope) -> bool:
        """Whether an attribute that may be a function is known to be it, or that of a relative."""
        scope, node = mention.scope, mention.node
        assert isinstance(node, ast.Attribute)
        if _is_instance(node.value):
            return True
        local = self._resolver.locals(scope) if isinstance(scope.node, Def) else None
        found = self._resolver.function(self._resolver.origin(node, scope, local))
        path = self._imported_path(node.value, scope)
        if found is None and path:
            return self._leads_to(scope.module.named(f"{path}.{node.attr}"), named)
        if found is None or found is named or found.owner is None or named.owner is None:
            return found is named
        return self._are_related(found.owner, named.owner)

    def _imported_path(self, value: ast.expr, scope: CodeScope) -> str:
        """The name of a module, or of what a module holds: `views` of `views.load`; else empty."""
        match value:
            case ast.Name(id=name):
                binder = self._binder(name, scope)
                held = binder.names.get(name) if binder is not None else None
                return held if isinstance(held, str) else ""
            case ast.Attribute(value=inner, attr=attr):
                path = self._imported_path(inner, scope)
                return f"{path}.{attr}" if path else ""
        return ""

    def _leads_to(self, path: str, named: CodeScope, steps: int = 0) -> bool:
        """Whether a path of imports leads to a function or class, or is not known."""
        found = self._project.scopes.get(path)
        if found is not None:
            return found.dotted == named.dotted
        holder, _, name = path.rpartition(".")
        module = self._project.modules.get(holder)
        if module is None:
            return path.partition(".")[0] in self._packages
        value = module.names.get(name)
        if isinstance(value, str):
            return value != path and steps < MAX_STEPS and self._leads_to(value, named, steps + 1)
        if value is not None:
            return module is named.module
        return bool(module.stars) or "__getattr__" in module.names

    def _binder(self, name: str, scope: CodeScope) -> CodeScope | None:
        """The scope that gives a name its value; None if no line here does."""
        here: CodeScope | None = scope
        while here is not None:
            # A function does not see the names of the class around it.
            is_visible = here is scope or not isinstance(here.node, ast.ClassDef)
            if is_visible and (name in here.names or name in self._local_names(here)):
                return here
            here = here.parent
        return None

    def _local_names(self, scope: CodeScope) -> set[str]:
        """The parameters and variables of a function."""
        if not isinstance(scope.node, Def):
            return set()
        if scope not in self._locals:
            nodes = own_nodes(scope.node)
            outer = {name for e in nodes if isinstance(e, ast.Global) for name in e.names}
            names = {each.arg for each in nodes if isinstance(each, ast.arg)}
            names |= {
                each.id
                for each in nodes
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
            self._locals[scope] = names - outer
        return self._locals[scope]

    def _are_related(self, first: CodeScope, second: CodeScope) -> bool:
        """Whether an object may have the methods of both classes."""
        key = first.dotted, second.dotted
        if key not in self._related:
            lineages = map(self._classes.lineage, (first.dotted, *self._heirs(first)))
            self._related[key] = (
                any(second.dotted in each for each in lineages)
                or first.dotted in self._classes.lineage(second.dotted)
                or self._has_open_base(first)
                or self._has_open_base(second)
            )
        return self._related[key]

    def _heirs(self, owner: CodeScope) -> list[str]:
        return [each.dotted for each in self._classes.heirs(owner.dotted)]

    def _has_open_base(self, owner: CodeScope) -> bool:
        """Whether source does not tell what one of the base classes is."""
        return any(
            not self._resolver.origin(base, scope.parent or scope)
            for scope in map(self._classes.scope, self._classes.lineage(owner.dotted))
            if scope is not None and isinstance(scope.node, ast.ClassDef)
            for base in scope.node.bases
        )


def _is_instance(value: ast.expr) -> bool:
    """Whether this is `self`, `cls` or `super()`."""
    if isinstance(value, ast.Call):
        return getattr(value.func, "id", "") == "super"
    return getattr(value, "id", "") in ("self", "cls")


def _class_around(scope: CodeScope | None) -> CodeScope | None:
    while scope is not None and not isinstance(scope.node, ast.ClassDef):
        scope = scope.parent
    return scope
