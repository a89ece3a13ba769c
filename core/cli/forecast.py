"""`scorefield forecast`: paths of what comes after a history."""

from __future__ import annotations

from argparse import ArgumentParser

from scorefield.core.cli.completion import completing_command

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield forecast runs/mine --data history.csv --horizon 8 --num 100 --out forecast.csv --plot
  scorefield forecast runs/mine --data history.csv --holdout --out check.csv    how good? the last rows are held back
  scorefield forecast runs/mine --data many.csv --read group=ticker --out forecast.parquet --paths
  scorefield forecast runs/m4 --data panel.jsonl --out forecasts.parquet --plot
  scorefield forecast runs/m4 --data m4_hourly.npz --holdout --out f.parquet      scored on the file's own test set

FILE is a long table: a row for each step and column, with mean and quantiles; .npz holds arrays with all paths."""


def add_options(parser: ArgumentParser) -> None:
    """How far, and whether the end of the file is the truth."""
    parser.add_argument(
        "--horizon",
        type=int,
        metavar="STEPS",
        help="steps ahead (default a quarter of a window; of panels what the run was trained for)",
    )
    parser.add_argument(
        "--holdout", action="store_true",
        help="hold the last rows back (of panels FILE's test set, if any), forecast them, and tell how good that is",
    )  # fmt: skip
    parser.add_argument(
        "--missing", metavar="RM|BM-B|BM-E[:STEPS]",
        help="hide steps of each history: at random, the first or last of its window, half of them by default (panels)",
    )  # fmt: skip


COMMAND = completing_command("forecast", "forecast what comes after a history", EXAMPLES, add_options)
