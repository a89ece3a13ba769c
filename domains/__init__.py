"""The domains of the suite, found by the entry-point group `scorefield.domains`."""
