"""Fixtures: `service` is everything running for real. The guard fails a test that blocks the loop
or leaks.
"""

pytest_plugins = ["offload_dev.pytest.service", "offload_dev.pytest.guard"]
