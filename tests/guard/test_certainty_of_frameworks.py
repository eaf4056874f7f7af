"""What was said wrongly of right code that only a framework's documentation tells from the mistake.

Each kind stands beside the mistake that it resembles.
"""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

FORM = """
from django import forms

class OrderForm(forms.ModelForm):
    class Meta:
        model = Order
        fields = ["paid"]

"""
VIEW_SET = """
from adrf.viewsets import ModelViewSet as AsyncModelViewSet
from rest_framework.decorators import action
from rest_framework.viewsets import ModelViewSet

"""
RESOLVER = """
import strawberry

@strawberry.type
class Query:
    @strawberry.field
    def orders(self) -> int:
        return Order.objects.count()

"""
PERMISSION = """
import strawberry
from strawberry.permission import BasePermission

class HasOrders(BasePermission):
    def has_permission(self, source, info, **kwargs):
        return Order.objects.exists()

"""
SYNC_GRAPHQL = "from strawberry.django.views import GraphQLView\n"
ASYNC_GRAPHQL = "from strawberry.django.views import AsyncGraphQLView, GraphQLView\n"
# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "form_that_only_makes_the_row": Twins(
        "OFF101",
        "warning",
        FORM + "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    return form.save()\n",
        FORM + "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    return form.save(commit=False)\n",
    ),
    "resolver_below_the_sync_view": Twins(
        "OFF101", "warning", RESOLVER + ASYNC_GRAPHQL, RESOLVER + SYNC_GRAPHQL
    ),
    "permission_below_the_sync_view": Twins(
        "OFF101", "warning", PERMISSION + ASYNC_GRAPHQL, PERMISSION + SYNC_GRAPHQL
    ),
    "page_of_a_list": Twins(
        "OFF101",
        "warning",
        """
from django.core.paginator import Paginator

async def view(request):
    pages = Paginator(Order.objects.all(), 20)
    return pages.get_page(1)
""",
        """
from django.core.paginator import Paginator

async def view(request):
    orders = [order async for order in Order.objects.all()]
    pages = Paginator(orders, 20)
    return pages.get_page(1)
""",
    ),
    "action_of_an_async_view_set": Twins(
        "OFF504",
        "error",
        VIEW_SET + "class Orders(ModelViewSet):\n    @action(detail=True)\n"
        "    async def total(self, request, pk):\n        return await Order.objects.acount()\n",
        VIEW_SET + "class Orders(AsyncModelViewSet):\n    @action(detail=True)\n"
        "    async def total(self, request, pk):\n        return await Order.objects.acount()\n",
    ),
    "user_that_ninja_jwt_has_read": Twins(
        "OFF102",
        "error",
        "@router.get('/me')\nasync def me(request):\n    return request.user.username\n",
        "from ninja_jwt.authentication import AsyncJWTAuth\n\n"
        "@router.get('/me', auth=AsyncJWTAuth())\nasync def me(request):\n"
        "    return request.user.username\n",
    ),
    "page_that_ninja_reads_itself": Twins(
        "OFF101",
        "error",
        "@router.get('/orders', response=list[int])\nasync def orders(request):\n"
        "    return Order.objects.all()\n",
        "from ninja.pagination import PageNumberPagination, paginate\n\n"
        "@router.get('/orders', response=list[int])\n@paginate(PageNumberPagination)\n"
        "async def orders(request):\n    return Order.objects.all()\n",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_mistake_is_found_and_what_resembles_it_is_not(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


SYNC_VIEW = """
from django.http import HttpRequest
from weasyprint import HTML

async def count():
    return await Order.objects.acount()

def view(request: HttpRequest, rows=()):
    papers = [HTML(string=row).write_pdf() for row in rows]
    return papers, asyncio.run(count())
"""
RUNSERVER = 'CMD ["python", "manage.py", "runserver", "0.0.0.0:8000"]\n'


@pytest.mark.parametrize(
    ("start", "packages", "is_wrong"),
    [
        ("CMD gunicorn shop.wsgi\n", "channels>=4\n", False),
        ("CMD gunicorn shop.asgi -k uvicorn.workers.UvicornWorker\n", "channels>=4\n", True),
        (RUNSERVER, "channels>=4\n", False),
        (RUNSERVER, "channels==3.0.5\n", True),
        (RUNSERVER, "channels>=4\ndaphne\n", True),
        (RUNSERVER.replace("CMD", "# CMD"), "channels>=4\n", True),
    ],
)
def test_a_plain_server_has_no_loop_that_a_sync_view_holds_up(
    tmp_path: Path, start: str, packages: str, *, is_wrong: bool
) -> None:
    (tmp_path / "Dockerfile").write_text(start)
    (tmp_path / "requirements.txt").write_text(packages)
    settings = "ASGI_APPLICATION = 'shop.asgi.application'\n"
    found = {rule for rule, _ in numbers(tmp_path, SYNC_VIEW, settings=settings)}
    assert found & {"OFF109", "OFF203"} == ({"OFF109", "OFF203"} if is_wrong else set())
