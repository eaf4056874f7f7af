"""What the lines of one function do: calls, loops, conditions, and the rows that they fetch.

`visitor` visits the lines once, and writes down a `function`, which most rules check.
"""
