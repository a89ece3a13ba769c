"""Other ways to make smaller or larger graphs, to compare with."""
