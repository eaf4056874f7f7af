"""What an expression is: where its value comes from, as one dotted name.

`resolver` answers, and the other modules help it: with models, containers, return values, what
frameworks call and give, and what `libraries.toml` says about libraries.
"""
