"""Statistics: a feature of a population times a distance between two samples of it."""
