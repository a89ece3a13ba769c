"""Embedded data and packaged runs."""
