"""The bridge: durable jobs from async views to worker processes. `docs/reference/jobs.md` states
the promise.
"""

MiB = 2**20
