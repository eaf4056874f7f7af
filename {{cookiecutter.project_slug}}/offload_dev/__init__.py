"""The standard at development time: launcher, linter, pytest plugins. Production leaves it out."""
