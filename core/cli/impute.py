"""`scorefield impute`: paths of what is missing."""

from __future__ import annotations

from scorefield.core.cli.completion import completing_command, given_options

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield impute runs/mine --data holes.csv --num 20 --out filled.csv --plot
  scorefield impute runs/mine --data whole.csv --given 0:8,16:24 --out check.npz    how good? the rest is held back
  scorefield impute runs/m4 --data panel.jsonl --num 20 --out filled.jsonl

Empty cells and NaN are missing. FILE is the table as it came with its gaps filled; filled.quantiles.csv beside it
tells mean and quantiles of each filled cell."""

COMMAND = completing_command("impute", "fill gaps of what was observed", EXAMPLES, given_options)
