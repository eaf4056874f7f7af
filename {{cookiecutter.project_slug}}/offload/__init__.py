"""The standard: async for waiting, processes for computing.

It is the same in every service: updated, never edited.
"""
