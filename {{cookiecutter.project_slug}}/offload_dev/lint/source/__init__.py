"""What stands in the files: modules, classes, functions, and the names that they bind.

`tree` has the `Project` with all its files. The other modules read a piece of source by itself,
such as a number, an annotation or the arguments of a call.
"""
