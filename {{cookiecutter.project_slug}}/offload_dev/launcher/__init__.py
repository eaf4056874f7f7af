"""Starts the whole service on one machine: `make dev` and `make serve`."""
