"""Solvers: tables of coefficients and what turns them into samples."""
