"""The addresses that loads ask: views of the benchmarks, and the list of jobs."""

BENCH = "/api/bench"
# A typed view that answers at once.
TYPED = f"{BENCH}/typed/"
# An async view with three queries, which read no rows but one.
QUERY = f"{BENCH}/orm/async?amount=0"
# An async view with ten upstream calls.
CALLS = f"{BENCH}/waiting/async?amount=20"
# A view that submits a job, which computes for so many rounds.
COMPUTING = BENCH + "/computing/worker?amount={}"
JOB = COMPUTING.format(0)
