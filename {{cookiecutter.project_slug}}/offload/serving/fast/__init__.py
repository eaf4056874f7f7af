"""What only saves microseconds. `Offload(fast=False)` turns all of it off.

Nothing in this folder changes what a client or a middleware sees. The rest of `serving` reads
without it: each module stands in for a plain form, which its caller shows beside it. The figures
are of a trivial request (some 130 us of CPU in a server under 16 connections, on two shared cores
with Python 3.11).

- `coalescing`: one write for all that a connection sends in one iteration of the loop: 40 us.
- `deferred_recording`: access log and metrics at the end of the iteration: 12 us.
- `sampled_records`: an access line's `LogRecord` copied from a sample: with the JSON encoder of
  `config/logs.py` 10 us.
- `header_stores`: response headers set and read without Django's checks: 8 us.
"""
