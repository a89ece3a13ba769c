"""Moves along the score whose sizes depend on the state: the Langevin corrector, and the splitting that shares it."""
