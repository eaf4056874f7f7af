"""What was accused wrongly in public projects: async methods of models and managers."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

URLS = "from shop import views\n\nurlpatterns = [LINE]\n"


@pytest.mark.parametrize("has_heir", [True, False])
def test_the_methods_of_an_abstract_model_need_a_model_that_inherits_them(
    tmp_path: Path, has_heir: bool
) -> None:
    models = (
        "import time\nfrom django.db import models\n\n"
        "class Kept(models.Model):\n    class Meta:\n        abstract = True\n\n"
        "    async def keep(self, *args):\n        time.sleep(1)\n"
    )
    if has_heir:
        models += "\nclass Visit(Kept):\n    pass\n"
    code = "from shop import people\n\nasync def view(request):\n    await request.x.keep(people)\n"
    urls = URLS.replace("LINE", "views.view")
    found = findings(tmp_path, code, people=models, urls=urls)
    assert ("OFF103" in [each.rule for each in found]) == has_heir


@pytest.mark.parametrize("has_heir", [True, False])
def test_the_manager_of_abstract_models_alone_is_not_used(tmp_path: Path, has_heir: bool) -> None:
    models = (
        "import time\nfrom django.db import models\n\n"
        "class Soon(models.Manager):\n    async def filter(self):\n        time.sleep(1)\n\n"
        "class Kept(models.Model):\n    soon = Soon()\n\n"
        "    class Meta:\n        abstract = True\n"
    )
    if has_heir:
        models += "\nclass Visit(Kept):\n    pass\n"
    code = (
        "from shop import people\n\nasync def view(request):\n    await request.x.filter(people)\n"
    )
    urls = URLS.replace("LINE", "views.view")
    found = findings(tmp_path, code, people=models, urls=urls)
    assert ("OFF103" in [each.rule for each in found]) == has_heir


def test_django_awaits_no_method_of_a_row_that_has_a_name_of_its_own(tmp_path: Path) -> None:
    models = (
        "from django.contrib.auth.models import AbstractUser\nfrom django.db import models\n"
        "import time\n\n"
        "class Restorable(models.Model):\n    class Meta:\n        abstract = True\n\n"
        "    async def arestore(self):\n        time.sleep(1)\n\n"
        "class Person(Restorable, AbstractUser):\n    pass\n"
    )
    urls = URLS.replace("LINE", "views.view")
    view = "from shop.people import Person\n\nasync def view(request, person: Person):\n    CALL\n"
    for call, count in {"return person": 0, "await person.arestore()": 1}.items():
        code = view.replace("CALL", call)
        found = findings(tmp_path / str(count), code, people=models, urls=urls)
        assert [each.rule for each in found if each.rule == "OFF103"] == ["OFF103"] * count


@pytest.mark.parametrize(("name", "count"), [("aget_by_natural_key", 1), ("acreate_user", 0)])
def test_a_manager_of_users_has_one_method_that_django_awaits(
    tmp_path: Path, name: str, count: int
) -> None:
    code = (
        "from django.contrib.auth.models import BaseUserManager\n\n"
        "class People(BaseUserManager):\n"
        "    async def NAME(self, email):\n        time.sleep(1)\n\n"
        "async def view(request):\n    return People()\n"
    )
    urls = URLS.replace("LINE", "views.view")
    found = findings(tmp_path, code.replace("NAME", name), urls=urls)
    assert [each.rule for each in found if each.rule == "OFF103"] == ["OFF103"] * count


@pytest.mark.parametrize(("value", "is_list"), [("[]", True), ("Order.objects.all()", False)])
def test_an_object_may_have_a_list_of_objects(tmp_path: Path, value: str, is_list: bool) -> None:
    code = (
        f"class Party:\n    def __init__(self):\n        self.objects = {value}\n\n"
        "    def shown(self):\n        return [each.pk for each in self.objects]\n\n"
        "async def view(request):\n    return Party().shown()\n"
    )
    assert (("OFF101", "error") not in numbers(tmp_path, code)) is is_list
