"""`make bench` measures the rule on this machine: the same work five ways, side by side."""
