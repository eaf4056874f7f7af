"""The tested net: blocking calls, busy loops and leaks fail the test that made them."""
