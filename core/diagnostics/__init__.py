"""Diagnostics of a trained model: solver convergence, and what its score field has of a true score."""
