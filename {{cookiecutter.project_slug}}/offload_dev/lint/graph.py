"""Follows calls from the event loop through helpers to what stops it, and reports each with the
chain between.
"""

import ast
from collections.abc import Iterator
from dataclasses import replace

from offload_dev.lint.bridges import Bridges
from offload_dev.lint.facts import Facts, Walk
from offload_dev.lint.findings import Finding, place
from offload_dev.lint.misuse import at_module_level, in_place
from offload_dev.lint.names import among
from offload_dev.lint.origins import Origins
from offload_dev.lint.sites import Site, decorators, is_task
from offload_dev.lint.source import Project, Scope
from offload_dev.lint.stopping import moved_to_threads, on_thread
from offload_dev.lint.turns import made_long

DEADLOCK = "OFF109"
# Functions, and the line in each that goes on to the next.
Path = tuple[tuple[Scope, int], ...]


class Graph:
    """The calls of a project. `findings()` is all that is wrong in its functions."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.origins = Origins(project)
        self.facts = {scope: Walk(scope, self.origins).facts for scope in project.functions}
        bridges = Bridges(self.facts, self.origins)
        self._sites = {
            scope: [
                *on_thread(facts, self.origins),
                *(() if scope.on_loop else bridges.sites(facts)),
            ]
            for scope, facts in self.facts.items()
        }
        handed_on = (origin for facts in self.facts.values() for origin in facts.handed_on)
        self._handed_on = set(map(self.origins.function, handed_on))
        self._reached: dict[Scope, dict[str, tuple[Path, Site]]] = {}

    def findings(self) -> Iterator[Finding]:
        for module in self.project.modules.values():
            for site in at_module_level(Walk(module, self.origins).facts):
                yield self._finding(module, site.line, site)
        for scope, facts in self.facts.items():
            for site in in_place(facts, self.origins):
                yield self._finding(scope, site.line, site)
            yield from self._threads(facts)
            if scope.on_loop:
                for site in self._sites[scope]:
                    yield self._finding(scope, site.line, site)
                yield from self._through_helpers(scope, facts)
            elif self._is_view(scope):
                yield from self._deadlock(scope)

    def _through_helpers(self, scope: Scope, facts: Facts) -> Iterator[Finding]:
        for line, path, site in self._onward(facts):
            # Here it is a second loop, OFF106.
            if site.rule != DEADLOCK:
                yield self._finding(scope, line, site, ((scope, line), *path))

    def _is_view(self, function: Scope) -> bool:
        """Whether a plain function gets a request, and not from somebody who may run it in another
        thread.
        """
        return self.facts[function].takes_request and function not in self._handed_on

    def _deadlock(self, view: Scope) -> Iterator[Finding]:
        """A sync view's, unless it is told of a view on the way. Under WSGI it is none: elsewhere
        it only warns.
        """
        path, site = self.reached(view).get(DEADLOCK, ((), None))
        if site is not None and not any(self._is_view(helper) for helper, _ in path[1:]):
            chain = path if len(path) > 1 else ()
            yield self._finding(
                view, path[0][1], replace(site, doubtful=not self.project.of_standard), chain
            )

    def reached(self, helper: Scope) -> dict[str, tuple[Path, Site]]:
        """What a plain function comes to, itself or through others: for each rule the first way
        found.
        """
        if helper not in self._reached:
            # Ends recursion.
            self._reached[helper] = {}
            found: dict[str, tuple[Path, Site]] = {}
            for site in self._sites[helper]:
                found.setdefault(site.rule, (((helper, site.line),), site))
            for line, path, site in self._onward(self.facts[helper]):
                found.setdefault(site.rule, (((helper, line), *path), site))
            self._reached[helper] = found
        return self._reached[helper]

    def _onward(self, facts: Facts) -> Iterator[tuple[int, Path, Site]]:
        """What comes of calling the project's plain functions that run on the caller's own thread,
        by line.
        """
        for call in facts.calls:
            function = None if call.awaited else self.origins.function(call.origin)
            if (
                function in self.facts
                and not function.on_loop
                and not self._runs_elsewhere(function)
            ):
                for path, site in self._through(function, call.node, facts.scope):
                    yield call.node.lineno, path, site

    def _through(
        self, function: Scope, call: ast.Call | None, caller: Scope
    ) -> Iterator[tuple[Path, Site]]:
        """What a plain function comes to by itself, and by what this call gives it."""
        yield from self.reached(function).values()
        if call is not None:
            for site in made_long(self.facts[function], call, caller, self.origins):
                yield ((function, site.line),), site

    def _runs_elsewhere(self, function: Scope) -> bool:
        wrapped = any(
            among(origin, "moves", "to_thread") for origin, _ in decorators(function, self.origins)
        )
        return wrapped or is_task(function, self.origins)

    def _threads(self, facts: Facts) -> Iterator[Finding]:
        for moved in moved_to_threads(facts, self.origins):
            function = self.origins.function(moved.origin)
            ways = (
                list(self._through(function, moved.call, facts.scope))
                if function in self.facts
                else []
            )
            computing = [path for path, site in ways if site.in_gil]
            waiting = [path for path, site in ways if site.rule == DEADLOCK]
            site = Site("OFF203", moved.node, f"{moved.origin.rpartition('.')[2]}()")
            if computing:
                yield self._finding(facts.scope, site.line, site, computing[0])
            elif among(moved.origin, "computes", "holding_gil"):
                yield self._finding(facts.scope, site.line, site)
            if moved.in_request and waiting:
                yield self._finding(
                    facts.scope, site.line, replace(site, rule=DEADLOCK), waiting[0]
                )

    def _finding(self, scope: Scope, line: int, site: Site, path: Path = ()) -> Finding:
        chain = tuple(
            f"{place(at.module.path, self.project.root)}:{line} {at.label}" for at, line in path
        )
        return Finding(
            place(scope.module.path, self.project.root),
            line,
            site.rule,
            site.subject,
            chain,
            site.doubtful,
        )
