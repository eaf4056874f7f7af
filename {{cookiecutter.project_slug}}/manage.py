#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # A migration may build an index for hours. In the web process and in workers a query may not.
    os.environ["DATABASE_STATEMENT_TIMEOUT"] = "0"
    execute_from_command_line(sys.argv)
