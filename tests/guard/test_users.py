"""The linter finds what fetches the user of a request on the event loop."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

SHOP_USER = """
from django.contrib.auth.models import AbstractUser
from django.db import models

class Account(AbstractUser):
    employer = models.ForeignKey(Customer, models.CASCADE, null=True)

"""
# By name: the rule, its severity on the wrong code, the wrong code, the right code.
KINDS = {
    "user_in_a_lazy_query": Twins(
        "OFF102",
        "error",
        "async def view(request):\n"
        "    return [order async for order in Order.objects.filter(owner=request.user)]\n",
        "async def view(request):\n    return await Order.objects.aget(owner=request.user)\n",
    ),
    "user_of_a_new_row": Twins(
        "OFF102",
        "error",
        "async def view(request):\n    user = request.user\n    order = Order(owner=user)\n"
        "    await order.asave()\n",
        "async def view(request):\n    user = await request.auser()\n"
        "    order = Order(owner=user)\n    await order.asave()\n",
    ),
    "user_that_is_compared": Twins(
        "OFF102",
        "error",
        "async def view(request, order):\n    return order.owner == request.user\n",
        "async def view(request, order):\n    return request.user is not None\n",
    ),
    "user_in_a_text": Twins(
        "OFF102",
        "error",
        "async def view(request):\n    return f'{request.user} is here'\n",
        "async def view(request):\n    return await sync_to_async(str)(request.user)\n",
    ),
    "class_of_the_user": Twins(
        "OFF102",
        "error",
        "async def view(request):\n    return isinstance(request.user, Customer)\n",
        "async def view(request):\n    return isinstance(request, Customer)\n",
    ),
    "user_in_the_context_of_strawberry": Twins(
        "OFF102",
        "error",
        "import strawberry\n\n@strawberry.type\nclass Query:\n    @strawberry.field\n"
        "    async def me(self, info) -> str:\n        return info.context.request.user.username\n",
        "import strawberry\n\n@strawberry.type\nclass Query:\n    @strawberry.field\n"
        "    async def me(self, info) -> str:\n"
        "        user = await info.context.request.auser()\n        return user.username\n",
    ),
    "user_in_a_controller": Twins(
        "OFF102",
        "error",
        "from ninja_extra import ControllerBase, http_get\n\nclass Orders(ControllerBase):\n"
        "    @http_get('/me')\n    async def me(self):\n"
        "        return self.context.request.user.username\n",
        "from ninja_extra import ControllerBase, http_get\n\nclass Orders(ControllerBase):\n"
        "    @http_get('/me')\n    async def me(self):\n"
        "        user = await self.context.request.auser()\n        return user.username\n",
    ),
    "relation_of_the_user": Twins(
        "OFF102",
        "warning",
        SHOP_USER + "from adrf.views import APIView\n\nclass Me(APIView):\n"
        "    async def get(self, request):\n        return request.user.employer.name\n",
        SHOP_USER + "from adrf.views import APIView\n\nclass Me(APIView):\n"
        "    async def get(self, request):\n        return request.user.employer_id\n",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_fetches_the_user_is_found(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize(
    ("decorator", "severity"),
    [
        ("from django.views.decorators.http import require_GET as wrap", "error"),
        ("from shop.helpers import wrap", "error"),
        ("from some_framework.auth import jwt_required as wrap", "warning"),
    ],
)
def test_a_decorator_of_an_unknown_library_may_have_fetched_the_user(
    tmp_path: Path, decorator: str, severity: str
) -> None:
    code = f"{decorator}\n\n@wrap\nasync def view(request):\n    return request.user.email\n"
    helpers = "def wrap(f):\n    return f\n"
    assert ("OFF102", severity) in numbers(tmp_path, code, helpers=helpers)
