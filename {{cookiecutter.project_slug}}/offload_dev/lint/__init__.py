"""The linter: finds in the source what breaks the rule. It needs Python 3.11 and nothing else.

How one run goes, file by file:

1. `source` reads the modules of a project, and `resolver` finds where a name comes from.
2. `visitor` visits each function once, and writes down what its lines do: a `function`.
3. `call_graph` follows calls between functions. The analyses that several rules need stand beside
   it: `threads`, `deadlocks`, `long_loops`, `serialized_queries`, `imports`.
4. `grade` runs the `rules`, one file each, which the `registry` knows by their numbers.
5. What they find is left out by `suppressions` and by a `baseline`, and printed as `findings`.
"""
