"""Stand-ins for external APIs, over real HTTP, so that everything runs without a network.

Delete this folder when you have real ones.
"""
