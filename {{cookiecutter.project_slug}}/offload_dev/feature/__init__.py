"""`make feature NAME=weather`: lays out a feature that works, has a test, and passes the checks."""
