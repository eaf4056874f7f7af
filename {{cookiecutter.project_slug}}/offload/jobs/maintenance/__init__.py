"""The duties of the leading process, such as to rescue lost jobs and to delete expired ones.

Each duty is a file. `runner.py` lists them in their order, and calls them once a second.
"""
