"""Which files of a service run: their folder names them, or a command starts them."""

from pathlib import Path

import pytest
from twins import numbers

URLS = "from shop import views\n\nurlpatterns = [LINE]\n"
PART = "def load():\n    time.sleep(1)\n\nasync def view(request):\n    load()\n"
OTHER = "import time\n\nfrom django.http import JsonResponse\n\n" + PART + "\nVIEWS = [view]\n"
ROUTED = "ROOT_URLCONF = 'shop.urls'\n"


@pytest.mark.parametrize(
    ("more", "is_run"),
    [
        ({"urls": "from shop.extra import views\n\nurlpatterns = [views.view]\n"}, True),
        ({"urls": "from .extra import views\n\nurlpatterns = [views.view]\n"}, True),
        ({"urls": "from .extra.views import view\n\nurlpatterns = [view]\n"}, True),
        ({"urls": "urlpatterns = ['shop.extra.views.view']\n"}, True),
        ({"urls": "import sys\n\nfrom views import view\n\nurlpatterns = [view]\n"}, True),
        # Another folder has a file of the same name.
        ({"urls": "from shop.near import views\n\nurlpatterns = []\n", "near/views": ""}, False),
        # The names of modules are made.
        ({"urls": "from importlib import import_module\n\nimport_module(f'{APP}.views')\n"}, True),
        ({"urls": "from importlib import import_module\n\nimport_module('shop.views')\n"}, False),
        # Files are listed, but nobody imports them.
        ({"urls": "import os\n\nPICTURES = os.listdir('static')\n"}, False),
        ({"urls": "import os\n\nPARTS = [__import__(each) for each in os.listdir('a')]\n"}, True),
    ],
)
def test_a_file_is_named_by_its_folder_and_its_name(
    tmp_path: Path, more: dict[str, str], is_run: bool
) -> None:
    others = {"extra/__init__": "", "extra/views": OTHER, "settings": ROUTED} | more
    found = numbers(tmp_path, "", **others)
    assert ("OFF103" in {rule for rule, _ in found}) is is_run


def test_a_command_may_start_a_file(tmp_path: Path) -> None:
    others = {"settings": ROUTED, "urls": "", "live/server": OTHER}
    assert ("OFF103", "error") not in numbers(tmp_path / "not", "", **others)
    started = tmp_path / "started"
    started.mkdir()
    (started / "Procfile").write_text("web: uvicorn shop.live.server:view\n")
    assert ("OFF103", "error") in numbers(started, "", **others)


def test_routes_of_any_name_run_what_they_name_where_others_include_them(tmp_path: Path) -> None:
    routes = (
        "from rest_framework import routers\n\nfrom shop.extra import views\n\n"
        "router = routers.DefaultRouter()\nrouter.register('a', views.view)\n"
        "urlpatterns = router.urls\n"
    )
    others = {"extra/__init__": "", "extra/views": OTHER, "extra/more_urls": routes}
    for name, line, is_run in (
        ("included", "include('shop.extra.more_urls')", True),
        ("not", "include('shop.near.more_urls')", False),
    ):
        urls = f"urlpatterns = [path('', {line})]\n"
        found = numbers(tmp_path / name, "", urls=urls, settings=ROUTED, **others)
        assert (("OFF103", "error") in found) is is_run, name


@pytest.mark.parametrize(
    ("decorator", "is_run"),
    [
        ("@extend_schema_view(list=extend_schema(summary='a'))", False),
        ("@method_decorator(cache_page(60), name='dispatch')", False),
        ("@registry.add", True),
    ],
)
def test_a_decorator_of_a_class_may_only_describe_it(
    tmp_path: Path, decorator: str, is_run: bool
) -> None:
    code = (
        "from django.utils.decorators import method_decorator\n"
        "from django.views import View\n"
        "from django.views.decorators.cache import cache_page\n"
        "from drf_spectacular.utils import extend_schema, extend_schema_view\n\n"
        "from shop.registry import registry\n\n"
        f"{decorator}\nclass Page(View):\n"
        "    async def get(self, request):\n        time.sleep(1)\n"
    )
    found = numbers(tmp_path, code, urls=URLS.replace("LINE", "views.other"), registry="")
    assert (("OFF103", "error") in found) is is_run


def test_no_import_names_a_file_with_a_hyphen(tmp_path: Path) -> None:
    others = {"settings": ROUTED, "urls": "", "old-work": OTHER, "old-tasks": OTHER}
    assert ("OFF103", "error") not in numbers(tmp_path, "", **others)
