"""What the tests add to a generated service: a job that counts its executions, and its address."""
