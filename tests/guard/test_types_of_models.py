"""The linter follows rows, relations and managers to the queries that no line names."""

from pathlib import Path
from textwrap import dedent

import pytest
from twins import numbers

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

FOLLOWED = {
    "property": (
        "OFF101",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return order.lines_count
""",
    ),
    "property_that_reads_a_relation": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return order.owner
""",
    ),
    "str_in_an_f_string": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return f"{order}"
""",
    ),
    "relation_of_a_relation": (
        "OFF102",
        """
async def view(request):
    async for line in Line.objects.all():
        line.order_id
        line.product.name
""",
    ),
    "related_name": (
        "OFF101",
        """
async def view(request):
    customer = await Customer.objects.aget(pk=1)
    return [order.pk for order in customer.orders.filter(paid=True)]
""",
    ),
    "many_to_many": (
        "OFF101",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return list(order.tags.all())
""",
    ),
    "lazy_method_of_the_manager": (
        "OFF101",
        """
async def view(request):
    return [order.pk for order in Order.objects.paid()]
""",
    ),
    "method_of_the_manager_that_queries": (
        "OFF101",
        """
async def view(request):
    return Order.objects.paid().total()
""",
    ),
    "user_model": (
        "OFF101",
        """
User = get_user_model()

async def view(request):
    user = await User.objects.aget(pk=1)
    user.save()
""",
    ),
    "row_of_a_thread": (
        "OFF101",
        """
async def view(request):
    order = await sync_to_async(Order.objects.get)(pk=1)
    order.save()
""",
    ),
    "typed_endpoint": (
        "OFF101",
        """
@router.get("/orders", response=list[int])
async def orders(request):
    return Order.objects.filter(paid=True)
""",
    ),
    "serializer": (
        "OFF101",
        """
class OrderSerializer(serializers.ModelSerializer):
    pass

async def view(request):
    serializer = OrderSerializer(Order.objects.all(), many=True)
    return serializer.data
""",
    ),
    "membership": (
        "OFF101",
        """
async def view(request):
    return 1 in Order.objects.values_list("pk", flat=True)
""",
    ),
    "redirect": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return redirect(order)
""",
    ),
    "formatted_text": (
        "OFF102",
        """
async def view(request):
    order = await Order.objects.aget(pk=1)
    return "order %s" % order
""",
    ),
    "login_required_mixin": (
        "OFF102",
        """
class Page(LoginRequiredMixin, View):
    async def get(self, request):
        return 1
""",
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_an_object_is_followed_to_what_it_calls(tmp_path: Path, name: str) -> None:
    rule, code = FOLLOWED[name]
    assert (rule, "error") in numbers(tmp_path, code)


def test_views_whose_queries_refer_to_one_another_are_graded(tmp_path: Path) -> None:
    code = """
    from django.views.generic import DetailView

    class First(DetailView):
        queryset = Second().get_queryset()

    class Second(DetailView):
        queryset = First().get_queryset()

    class Third(DetailView):
        model = Third().get_object()

        def get(self, request):
            return self.object.pk
    """
    (tmp_path / "views.py").write_text(dedent(code))
    assert grade(Project(tmp_path)) == []
