"""The generated service's app."""
