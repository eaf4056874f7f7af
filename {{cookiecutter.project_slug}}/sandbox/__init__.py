"""Stand-in price sources over real HTTP: everything runs without a network. Delete it when you have
real ones.
"""
