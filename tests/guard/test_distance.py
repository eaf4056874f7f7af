"""Mistakes that stand far from the line that runs them: behind callbacks, instances, decorators."""

from pathlib import Path

import pytest
from twins import Twins, check

PAUSE = "def pause(seconds):\n    {body}\n"
WAYS = {
    "instance_that_is_called": """
class Pause:
    def __call__(self, seconds):
        {body}

pause = Pause()

async def view(request):
    return pause(1)
""",
    "decorator_that_does_it": """
def slowly(function):
    def wrapper(seconds):
        {body}
        return function(seconds)
    return wrapper

@slowly
def show(seconds):
    return seconds

async def view(request):
    return show(1)
""",
    "decorator_with_arguments_that_does_it": """
def slowly(name):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(seconds):
            {body}
            return function(seconds)
        return wrapper
    return decorate

@slowly("a")
def show(seconds):
    return seconds

async def view(request):
    return show(1)
""",
    "staticmethod_of_a_function": PAUSE
    + """
class Tools:
    wait = staticmethod(pause)

async def view(request):
    return Tools.wait(1)
""",
    "callback_through_two_functions": PAUSE
    + """
def run(callback, *args):
    return callback(*args)

def retry(callback, *args):
    return run(callback, *args)

async def view(request):
    return retry(pause, 1)
""",
}
# The row has a type only if its way from call to call is known.
ROWS = {
    "through_stars": """
def show(order):
    {body}

def passed_on(*args, **kwargs):
    return show(*args, **kwargs)

async def view(request):
    return passed_on(await Order.objects.aget(pk=1))
""",
    "by_a_template_method": """
class Base:
    def act(self, order):
        return self.run(order)

    def run(self, order):
        raise NotImplementedError

class Mover(Base):
    def run(self, order):
        {body}

async def view(request):
    return Mover().act(await Order.objects.aget(pk=1))
""",
    "to_a_function_of_a_table": """
def show(order):
    {body}

STEPS = {{"show": show}}

async def view(request):
    return STEPS["show"](await Order.objects.aget(pk=1))
""",
    "behind_a_star": """
def show(order, *args):
    {body}

async def view(request, *args):
    return show(await Order.objects.aget(pk=1), *args)
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_followed_to_where_it_waits(tmp_path: Path, way: str) -> None:
    wrong, right = (WAYS[way].format(body=each) for each in ("time.sleep(1)", "seconds += 1"))
    check(Twins("OFF103", "error", wrong, right), tmp_path)


@pytest.mark.parametrize("way", ROWS)
def test_a_row_is_followed_from_call_to_call(tmp_path: Path, way: str) -> None:
    wrong, right = (ROWS[way].format(body=each) for each in ("order.save()", "return order.pk"))
    check(Twins("OFF101", "error", wrong, right), tmp_path)


def test_making_an_instance_does_not_call_it(tmp_path: Path) -> None:
    code = """
class Pause:
    def __call__(self, seconds):
        time.sleep(seconds)

async def view(request):
    return {made}
"""
    wrong, right = (code.format(made=each) for each in ("Pause()(1)", "Pause()"))
    check(Twins("OFF103", "error", wrong, right), tmp_path)


def test_a_decorator_of_two_functions_runs_the_one_that_is_called(tmp_path: Path) -> None:
    code = """
def logged(function):
    def wrapper(seconds):
        def run():
            return function(seconds)
        return run()
    return wrapper

@logged
def pause(seconds):
    time.sleep(seconds)

@logged
def show(seconds):
    return seconds

async def view(request):
    return {called}(1)
"""
    wrong, right = (code.format(called=each) for each in ("pause", "show"))
    check(Twins("OFF103", "error", wrong, right), tmp_path)
