"""The plugin `loop_guard` on PostgreSQL, which refuses to drop a database that is in use."""

import pytest
from nets import SERVICE
from postgresql_server import postgres_server, programs_or_skip

SETTINGS = """
import dj_database_url

DATABASES = {{"default": dj_database_url.parse("{url}", conn_max_age=60)}}
INSTALLED_APPS = ["django.contrib.contenttypes"]
SECRET_KEY = "of a test"
USE_TZ = True
"""

TESTS = """
import pytest
import pytest_asyncio
from django.contrib.contenttypes.models import ContentType

@pytest_asyncio.fixture
async def counted(transactional_db):
    yield
    await ContentType.objects.acount()

async def test_queries(transactional_db):
    assert await ContentType.objects.acount()

async def test_queries_after_its_end(counted):
    pass
"""


def test_async_tests_leave_no_connection_to_the_test_database(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = programs_or_skip("whether the test database can be dropped behind async tests")
    monkeypatch.setenv("PYTHONPATH", f"{SERVICE}:{pytester.path}")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "small_settings")
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error"
    )
    pytester.makepyfile(test_rows=TESTS)
    with postgres_server(programs, options="-c fsync=off") as server:
        pytester.makepyfile(small_settings=SETTINGS.format(url=server.url))
        result = pytester.runpytest_subprocess(
            "-p", "offload_dev.pytest.loop_guard", "-p", "no:cacheprovider"
        )
    result.assert_outcomes(passed=2)
