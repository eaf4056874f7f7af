"""The running net: who blocks the loop, which requests are slow, and what everything is doing right
now.
"""
