"""Calls a case of the corpus over Django's async client, for the watchdog and the pytest plugin."""

import importlib
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType

import django
from django.core.management import call_command
from django.test import AsyncClient, override_settings
from django.urls import path

ANN = "ann"


class Slow(BaseHTTPRequestHandler):
    """An upstream that answers after 0.15 s."""

    def do_GET(self) -> None:
        time.sleep(0.15)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


def prepare() -> None:
    """A database with a few rows, and a slow upstream at `UPSTREAM`."""
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("createcachetable")
    from django.contrib.auth.models import User
    from shop.models import Customer, Line, Order

    User.objects.create_user(ANN, password="secret")
    order = Order.objects.create(customer=Customer.objects.create(name="Ann"), total=3)
    Order.objects.create(customer=order.customer, status="paid")
    Line.objects.create(order=order)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    Thread(target=server.serve_forever, daemon=True).start()
    os.environ["UPSTREAM"] = f"http://127.0.0.1:{server.server_port}/"


def load(case: str) -> ModuleType:
    """Import a case, and give it a URL; imports happen once, and are not what is tested."""
    module = importlib.import_module(f"shop.{case}.api")
    urls = ModuleType(f"urls_of_{case}")
    urls.urlpatterns = [path("", module.view)]  # type: ignore[attr-defined]
    return urls


async def client() -> AsyncClient:
    """Ann, logged in: her session and user are rows in the database."""
    from django.contrib.auth.models import User

    found = AsyncClient()
    await found.aforce_login(await User.objects.aget(username=ANN))
    return found


async def call(browser: AsyncClient, urls: ModuleType) -> None:
    """One request, its stream read to the end."""
    with override_settings(ROOT_URLCONF=urls):
        response = await browser.get("/", {"symbols": "ACME"})
        if response.streaming:
            async for _ in response:
                pass
