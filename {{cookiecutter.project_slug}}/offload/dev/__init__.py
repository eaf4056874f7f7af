"""The whole service on one machine: `make dev` and `make serve`. Production does not use this room."""
