"""Fixtures: `service` is everything running for real. The guard fails a test that blocks the loop
or leaks.
"""

pytest_plugins = ["offload_dev.pytest.running_service", "offload_dev.pytest.loop_guard"]
