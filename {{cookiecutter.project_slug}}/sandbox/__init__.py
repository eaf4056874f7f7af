"""Stand-in price sources over real HTTP, so that everything runs without a network. Delete it when you have real ones."""
