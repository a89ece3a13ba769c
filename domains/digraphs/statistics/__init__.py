"""Statistics of directed graphs."""
