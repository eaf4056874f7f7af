"""What a rule looks for in one function, in a file of URLs or in the settings.

`registry` knows the rules by their numbers, and `violations` has what their checks yield.
"""
