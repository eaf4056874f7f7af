"""What runs while a request waits: hooks of views and forms, and views that are transactions."""

from pathlib import Path

import pytest
from example_shop import HEAD
from twins import numbers

ATOMIC = 'DATABASES = {"default": {"ENGINE": "x", "ATOMIC_REQUESTS": True}}\nINSTALLED_APPS = []\n'
CALL = "requests.get('https://bank.example', timeout=5)"
PICTURES = """
from django import forms
from django.views.generic import DetailView, FormView, UpdateView
from PIL import Image, ImageOps
from rest_framework import viewsets

def resized(file, size):
    image = ImageOps.exif_transpose(Image.open(file))
    image.thumbnail((size, size))
    return image
"""
COMPUTING = {
    "form_view": """
class Upload(FormView):
    def form_valid(self, form):
        for file in self.request.FILES.getlist("files"):
            resized(file, 300)
""",
    "context": """
class Page(DetailView):
    def get_context_data(self, **kwargs):
        return {"images": [resized(each, 300) for each in self.object.files]}
""",
    "viewset": """
class Pictures(viewsets.ModelViewSet):
    def perform_create(self, serializer):
        row = serializer.save()
        for size in (300, 800):
            resized(row.file, size)
""",
    "form": """
class Form(forms.ModelForm):
    def clean(self):
        for size in (300, 800):
            resized(self.cleaned_data["file"], size)
        return self.cleaned_data
""",
}
SHORT = {
    "one_file": """
class Upload(FormView):
    def form_valid(self, form):
        resized(form.cleaned_data["file"], 300)
""",
    "a_task": """
from celery import shared_task

@shared_task
def resize(files):
    for file in files:
        resized(file, 300)

class Upload(FormView):
    def form_valid(self, form):
        resize.delay(self.request.POST["files"])
""",
    "a_hook_of_another_class": """
class Importer:
    def form_valid(self, form):
        for file in form.files:
            resized(file, 300)
""",
}
WAITING = {
    "view": f"def view(request):\n    request.order.save()\n    {CALL}\n",
    "below_a_view": f"def rate():\n    return {CALL}\n\ndef view(request):\n"
    "    order = Order.objects.select_for_update().get()\n    return rate()\n",
    "class": f"class Page(View):\n    def post(self, request):\n        {CALL}\n"
    "        return Order.objects.create()\n",
    "hook": "from django.views.generic import CreateView\n\nclass Page(CreateView):\n"
    f"    def form_valid(self, form):\n        {CALL}\n        return super().form_valid(form)\n",
}
OUTSIDE = {
    "reads": f"def view(request):\n    {CALL}\n",
    "left_out": "from django.db import transaction\n\n@transaction.non_atomic_requests\n"
    f"def view(request):\n    {CALL}\n",
    "async_view": "async def view(request):\n"
    "    await sync_to_async(requests.get)('https://bank.example', timeout=5)\n",
    "middleware": "class Middleware:\n    def __init__(self, get_response):\n"
    "        self.get_response = get_response\n\n    def __call__(self, request):\n"
    f"        {CALL}\n        return self.get_response(request)\n",
    "task": f"from celery import shared_task\n\n@shared_task\ndef load():\n    {CALL}\n",
    "thread": "import threading\n\ndef load(request):\n"
    f"    {CALL}\n\ndef view(request):\n    threading.Thread(target=load).start()\n",
}


@pytest.mark.parametrize("name", COMPUTING)
def test_a_hook_of_a_view_computes_while_a_request_waits(tmp_path: Path, name: str) -> None:
    assert ("OFF203", "warning") in numbers(tmp_path, PICTURES + COMPUTING[name])


@pytest.mark.parametrize("name", SHORT)
def test_computing_that_no_request_waits_for_is_right(tmp_path: Path, name: str) -> None:
    assert "OFF203" not in {rule for rule, _ in numbers(tmp_path, PICTURES + SHORT[name])}


@pytest.mark.parametrize("name", WAITING)
def test_with_atomic_requests_a_view_that_waits_holds_its_transaction(
    tmp_path: Path, name: str
) -> None:
    assert ("OFF110", "warning") in numbers(tmp_path / "wrong", WAITING[name], settings=ATOMIC)
    assert "OFF110" not in {rule for rule, _ in numbers(tmp_path / "right", WAITING[name])}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_of_the_transactions_of_requests_is_right(
    tmp_path: Path, name: str
) -> None:
    said = numbers(tmp_path, OUTSIDE[name], settings=ATOMIC)
    assert "OFF110" not in {rule for rule, _ in said}


EXPORTS = """
import csv
import io
from celery import shared_task
from django.http import HttpResponse
from reportlab.pdfgen import canvas

def filled(orders, file):
    paper = canvas.Canvas(file)
    for order in orders:
        paper.drawString(72, 760, str(order.pk))
        paper.showPage()
    paper.save()

def listed(file):
    writer = csv.writer(file)
    for order in Order.objects.order_by("pk"):
        writer.writerow([order.pk])
"""
LONG_FILES = {
    "given_rows": "def view(request):\n    filled(Order.objects.all(), io.BytesIO())\n",
    "own_rows": "def view(request):\n    listed(HttpResponse())\n",
    "rows_of_a_row": "def view(request):\n    customer = get_object_or_404(Customer, pk=1)\n"
    "    filled(customer.orders.all(), io.BytesIO())\n",
}
SHORT_FILES = {
    "task": "@shared_task\ndef export():\n    listed(io.StringIO())\n",
    "few": "def view(request):\n    filled([Order.objects.get(pk=1)], io.BytesIO())\n",
    "no_request": "def export():\n    filled(Order.objects.all(), io.BytesIO())\n",
}


@pytest.mark.parametrize("name", LONG_FILES)
def test_a_file_with_a_line_for_each_row_is_written_below_a_view(tmp_path: Path, name: str) -> None:
    assert ("OFF203", "warning") in numbers(tmp_path, EXPORTS + LONG_FILES[name])


@pytest.mark.parametrize("name", SHORT_FILES)
def test_a_file_that_no_request_waits_for_is_right(tmp_path: Path, name: str) -> None:
    assert "OFF203" not in {rule for rule, _ in numbers(tmp_path, EXPORTS + SHORT_FILES[name])}


def test_an_export_of_an_admin_is_rare(tmp_path: Path) -> None:
    code = EXPORTS + LONG_FILES["own_rows"]
    of_admin = numbers(tmp_path / "admin", "", admin_panel=HEAD + code)
    of_others = numbers(tmp_path / "others", "", panel=HEAD + code)
    assert ("OFF203", "warning") in of_others - of_admin


@pytest.mark.parametrize(
    ("base", "decorator", "is_rare"),
    [
        ("View", "", False),
        ("StaffRequiredMixin, View", "", True),
        ("admin.ModelAdmin", "", True),
        ("Exports", "@admin.action(description='Print')", True),
    ],
)
def test_a_paper_for_staff_is_rare(
    tmp_path: Path, base: str, decorator: str, is_rare: bool
) -> None:
    code = (
        "from django.contrib import admin\nfrom django.views import View\n"
        "from weasyprint import HTML\n\n"
        f"class Papers({base}):\n    {decorator}\n    def post(self, request, rows=()):\n"
        "        return [HTML(string=str(row)).write_pdf() for row in rows]\n"
    )
    assert (("OFF203", "warning") not in numbers(tmp_path, code)) is is_rare


@pytest.mark.parametrize(
    ("name", "loads", "is_loaded"),
    [
        ("production", "", True),
        ("shop_db", "", False),
        (
            "shop_db",
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.shop_db")',
            True,
        ),
    ],
)
def test_settings_count_if_a_file_names_them_or_a_host_may(
    tmp_path: Path, name: str, loads: str, is_loaded: bool
) -> None:
    urls = "from shop import views\n\nurlpatterns = [views.view]\n"
    files = {f"settings/{name}": ATOMIC, "settings/base": "INSTALLED_APPS = []\n", "wsgi": loads}
    found = numbers(tmp_path, WAITING["view"], urls=urls, **files)
    assert (("OFF110", "warning") in found) is is_loaded
