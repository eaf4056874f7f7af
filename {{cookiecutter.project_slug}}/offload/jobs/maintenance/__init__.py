"""The duties of the leading process, such as to rescue lost jobs and to delete expired ones.

`runner.py` lists them in their order, and calls them once a second.
"""
