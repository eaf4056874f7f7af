"""Which functions call which: what a line comes to, and who runs it.

`call_graph` follows the calls of a function to the lines that break a rule. `callers` goes the
other way: to a request, to an event loop, or to nobody.
"""
