"""A model of the jobs' state machine: every state of a few jobs and workers, over the real
transitions on a database in memory.

`python -m jobs.model [--family NAME] [--depth N]`, in the folder `tests`. The invariants are those
of `docs/reference/jobs.md`, under the same numbers.

A state is the rows of the jobs and what each worker's process holds in its memory. Times are
`past` or `future`, tokens `newest` or `old`: with that the number of states is finite, though
leases, retries and hand-backs have no end. A transition reads rows alone. So it is executed once
for each state of the rows, and its outcome is remembered.
"""
