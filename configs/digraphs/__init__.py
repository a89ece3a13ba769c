"""Configurations of directed graphs."""
