"""What runs in workers alone.

`supervisor.py` runs in a worker's main process, `executor.py` in the processes that compute.
"""
