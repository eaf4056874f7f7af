"""`make bench`: proves the rule on this machine. The same work five ways, and what a neighbour pays
for each.
"""
