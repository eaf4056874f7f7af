"""Who may call the API: bearer tokens, kept as hashes."""
