"""`scorefield interpolate`: paths of the steps between given ones."""

from __future__ import annotations

from scorefield.core.cli.completion import completing_command, given_options

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield interpolate runs/mine --data windows.npz --given 0:5,20:24 --num 20 --out between.npz --plot
  scorefield interpolate runs/mine --data rows_missing.csv --out between.csv

Steps are given or missing as a whole: by --given in each window, else rows of FILE without any value are missing."""

COMMAND = completing_command("interpolate", "fill in steps between given ones", EXAMPLES, given_options)
