"""The guard at run time: what blocks the event loop, which requests are slow, what runs now."""
