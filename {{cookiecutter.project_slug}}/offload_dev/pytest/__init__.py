"""Two pytest plugins: `guard` fails a test that blocks or leaks, `service` starts everything."""
