"""Fixtures: `service` is everything running for real. The guard fails a test that blocks the loop or leaks."""

pytest_plugins = ["offload.dev.plugin", "offload.guard.plugin"]
