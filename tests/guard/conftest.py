"""Django's settings for this folder. The nets over the corpus run in processes of their own."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent

sys.path[:0] = [str(HERE), str(HERE / "corpus")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corpus_settings")

import django  # noqa: E402 - settings come first
import pytest  # noqa: E402

django.setup()

pytest_plugins = ["pytester"]

# So that an assertion in it shows what the linter said.
pytest.register_assert_rewrite("twins")
