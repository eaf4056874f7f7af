"""This service's own code: one Django app a feature, four files each."""
