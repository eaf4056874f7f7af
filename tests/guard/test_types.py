"""The linter follows what objects are: through attributes, annotations, heirs and factories.

Each case is a module that blocks the event loop in a place where no line names what it calls.
"""

import string
from pathlib import Path

import pytest
from twins import numbers

FOLLOWED = {
    "attribute_of_self": """
class Client:
    def __init__(self):
        self.session = requests.Session()

    async def load(self):
        return self.session.get("https://x.test", timeout=1)
""",
    "parameter_kept_on_self": """
class Client:
    def __init__(self, session: requests.Session):
        self.session = session

class Service(Client):
    async def load(self):
        return self.session.get("https://x.test", timeout=1)
""",
    "optional_string_annotation": """
async def view(request, session: "Optional[requests.Session]" = None):
    return session.get("https://x.test", timeout=1)
""",
    "annotated_parameter": """
async def view(request, session: Annotated[requests.Session, 1]):
    return session.get("https://x.test", timeout=1)
""",
    "attribute_of_a_dataclass": """
@dataclass
class Tools:
    session: requests.Session

async def view(request, tools: Tools):
    return tools.session.get("https://x.test", timeout=1)
""",
    "singleton_of_a_module": """
class Client:
    def load(self):
        return time.sleep(1)

client = Client()

async def view(request):
    return client.load()
""",
    "factory_without_annotation": """
def make():
    session = requests.Session()
    return session

async def view(request):
    return make().get("https://x.test", timeout=1)
""",
    "with_as": """
@contextlib.contextmanager
def opened() -> Iterator[requests.Session]:
    yield connect()

async def view(request):
    with opened() as session:
        return session.get("https://x.test", timeout=1)
""",
    "four_calls_deep": """
class Transport:
    def __init__(self):
        self.session = requests.Session()

    def send(self):
        return self.session.get("https://x.test", timeout=1)

class Gateway:
    def __init__(self):
        self.transport = Transport()

    def pay(self):
        return self.transport.send()

class Service:
    gateway = Gateway()

    def checkout(self):
        return self.gateway.pay()

async def view(request):
    service = Service()
    return service.checkout()
""",
    "method_of_a_mixin": """
class Mixin:
    def load(self):
        time.sleep(1)

class Page(Mixin, View):
    async def get(self, request):
        return self.load()
""",
    "method_of_an_heir": """
class Base(View):
    async def get(self, request):
        return self.load()

class Page(Base):
    def load(self):
        time.sleep(1)
""",
    "dispatch_of_an_async_view": """
class Page(View):
    def dispatch(self, request):
        time.sleep(1)
        return super().dispatch(request)

    async def get(self, request):
        return 1
""",
    "constructor": """
class Slow:
    def __init__(self):
        time.sleep(1)

async def view(request):
    return Slow()
""",
    "special_method": """
class Lines:
    def __len__(self):
        return time.sleep(1)

async def view(request, lines: Lines):
    return len(lines)
""",
    "receiver_of_a_signal": """
paid = Signal()

@receiver(paid)
def send_mail(sender, **kwargs):
    time.sleep(1)

async def view(request):
    paid.send(None)
""",
    "partial": """
async def view(request):
    wait = functools.partial(time.sleep, 1)
    wait()
""",
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_an_object_is_followed_to_what_it_calls(tmp_path: Path, name: str) -> None:
    assert ("OFF103", "error") in numbers(tmp_path, FOLLOWED[name])


def test_items_that_are_made_of_one_another_are_followed_once(tmp_path: Path) -> None:
    lines = "".join(
        f"    found['{name}'] = found.get('{name}', []) or made\n"
        for name in string.ascii_lowercase
    )
    code = f"found = {{}}\n\ndef collect(made):\n{lines}\n\nasync def view(request):\n"
    code += "    found['a'].load()\n    time.sleep(1)\n"
    assert ("OFF103", "error") in numbers(tmp_path, code)
