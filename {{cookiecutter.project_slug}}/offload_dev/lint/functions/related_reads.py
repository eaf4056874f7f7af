"""Relations of rows that a line reads without naming them: by a serializer, schema or response.

`OrderSchema.from_orm(order)` reads `order.customer` if the schema has that field.
"""

import ast
from collections.abc import Iterable

from offload_dev.lint.functions.function import Function, HiddenQuery
from offload_dev.lint.functions.schemas import (
    relations_of_fields,
    relations_of_row,
    relations_of_schema,
)
from offload_dev.lint.functions.serializers import relations_of
from offload_dev.lint.functions.variables import Variables
from offload_dev.lint.source.snippet import snippet

# Methods of schemas that read a row.
FROM_ROW = {"from_orm", "model_validate"}


class RelatedReads:
    """Writes into a function the relations that its lines read without naming them.

    Of each line the first relation is noted that was not fetched with the rows.
    """

    def __init__(self, function: Function, variables: Variables) -> None:
        self.function, self.variables = function, variables
        self.resolver, self.origin = variables.resolver, variables.origin

    def read_by_schema(self, call: ast.Call, row: ast.expr) -> None:
        """Note the relation that a schema reads of a row: `OrderSchema.from_orm(order)`."""
        schema = self._named_schema(call.func)
        rows = self.variables.rows_in(row) if schema else None
        if rows is not None:
            names = [*relations_of_schema(schema, self.resolver)]
            names += relations_of_fields(schema, rows.model, self.resolver)
            self._note(call, row, (name for name in names if not rows.names(name)))

    def read_by_dict(self, call: ast.Call, row: ast.expr) -> None:
        """Note the relation that `model_to_dict(order)` reads."""
        rows = self.variables.rows_in(row)
        if rows is not None:
            self._note(call, row, self.resolver.models.to_many(rows.model))

    def read_by_serializer(self, read: ast.Attribute, row: ast.expr) -> None:
        """Note the relation that a serializer reads of rows that were fetched without it."""
        rows = self.variables.rows_in(row)
        if rows is not None:
            names = relations_of(self.origin(read.value), rows.model, self.resolver)
            lacking = (name for name in names if not rows.names(name))
            self._note(read, row, lacking)

    def read_by_response(self, returned: ast.expr) -> None:
        """Note the relation that the response type reads of the rows that an endpoint returns."""
        row = returned.elts[-1] if isinstance(returned, ast.Tuple) and returned.elts else returned
        rows = self.variables.rows_in(row)
        if rows is not None:
            names = relations_of_row(self.function.scope, rows.model, self.resolver)
            self._note(row, row, (name for name in names if not rows.names(name)))

    def serialized(self, node: ast.expr) -> ast.expr | None:
        """The queryset of `OrderSerializer(orders, many=True)`, wherever the serializer is made."""
        made = self.variables.value_of(node)
        made = made.value if isinstance(made, ast.Await) else made
        if not isinstance(made, ast.Call):
            return None
        given = [*made.args, *(each.value for each in made.keywords if each.arg == "instance")]
        is_serializer = self.origin(made).endswith("Serializer")
        return given[0] if is_serializer and given else None

    def _named_schema(self, called: ast.expr) -> str:
        """`shop.api.OrderSchema` of `OrderSchema.from_orm`; empty if this is another call."""
        if not isinstance(called, ast.Attribute) or called.attr not in FROM_ROW:
            return ""
        origin = self.origin(called.value)
        if not isinstance(called.value, ast.Name) or self.resolver.classes.scope(origin):
            return origin
        found = self.function.scope.module.names.get(called.value.id)
        module = self.function.scope.module.dotted
        return found if isinstance(found, str) else f"{module}.{called.value.id}"

    def _note(self, node: ast.expr, row: ast.expr, names: Iterable[str]) -> None:
        """Note the first relation of a row that a line reads without naming it."""
        for name in names:
            relation = ast.copy_location(ast.Attribute(row, name, ast.Load()), node)
            subject = f"`{snippet(node)}`, which reads `{name}`,"
            rows = self.variables.rows_in(row)
            is_many = rows is not None and self.resolver.models.rows(rows.model, name) is not None
            self.function.hidden_queries.append(HiddenQuery(relation, subject, is_many))
            return
