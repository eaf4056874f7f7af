"""Pytest plugins: `loop_guard` fails a test that blocks or leaks, `running_service` runs it all."""
