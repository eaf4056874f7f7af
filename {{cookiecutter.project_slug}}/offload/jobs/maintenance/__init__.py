"""The duties of the leading process: rescue lost jobs, publish for rows without a message, enqueue
periodic jobs, delete expired ones.

Each duty is a file. `runner.py` calls them once a second.
"""
