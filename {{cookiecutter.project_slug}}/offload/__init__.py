"""The standard: async for waiting, processes for computing. The same in every service; updated,
never edited.
"""
