"""The example feature: quotes from many sources at once, and the value at risk of what you hold."""
