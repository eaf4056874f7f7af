"""The rule, enforced four times: in the source, at start, while running, and in tests."""
