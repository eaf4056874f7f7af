"""The fixture `service` is the whole service, running. A test that blocks or leaks fails."""

pytest_plugins = ["offload_dev.pytest.running_service", "offload_dev.pytest.loop_guard"]
