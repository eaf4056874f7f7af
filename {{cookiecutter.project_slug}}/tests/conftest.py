"""Fixtures: `service` is everything running for real (`offload/dev/plugin.py`)."""

pytest_plugins = ["offload.dev.plugin"]
