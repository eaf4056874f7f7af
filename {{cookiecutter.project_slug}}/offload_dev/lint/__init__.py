"""The linter: what can be read from the source. Needs nothing but Python."""
