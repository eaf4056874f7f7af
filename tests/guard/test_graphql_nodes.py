"""Fields of Strawberry's types that are rows, and follow relations on the event loop."""

from pathlib import Path

import pytest
from twins import numbers

NODE = """
import strawberry

@strawberry.type
class OrderNode:
    pk: int

    @strawberry.field
    def customer_name(self) -> str:
        return {reads}

@strawberry.type
class Query:
    @strawberry.field
    async def orders(self) -> {type}:
        {lines}

class AsyncGraphQLView:
    pass
"""
LIST = "return [order async for order in Order.objects.filter(paid=True)[:100]]"
ONE = "return await Order.objects.aget(pk=1)"
VARIABLE = "order = await Order.objects.afirst()\n        return order"
FETCHED = 'return [o async for o in Order.objects.select_related("customer")[:100]]'
RELATION = "self.customer.name"
TYPE = "list[OrderNode]"
WRONG = {
    "list": (RELATION, TYPE, LIST),
    "one": (RELATION, "OrderNode", ONE),
    "variable": (RELATION, "OrderNode | None", VARIABLE),
    "condition": ('self.parent.pk if self.parent else ""', TYPE, LIST),
}
RIGHT = {
    "fetched": (RELATION, TYPE, FETCHED),
    "column": ("self.customer_id", TYPE, LIST),
    "own_field": ("str(self.pk)", TYPE, LIST),
    "made_by_hand": (RELATION, TYPE, "return [OrderNode(pk=1)]"),
    "another_type": (RELATION, "list[int]", LIST),
}


def said(folder: Path, case: tuple[str, str, str]) -> set[str]:
    reads, named, lines = case
    code = NODE.format(reads=reads, type=named, lines=lines)
    return {severity for rule, severity in numbers(folder, code) if rule == "OFF102"}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_a_row_reads_a_relation(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, WRONG[name]) == {"warning"}


@pytest.mark.parametrize("name", RIGHT)
def test_a_field_that_queries_nothing_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, RIGHT[name]) == set()
