"""`scorefield import`: another project's weights into a run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from scorefield.core.cli.command import Command

__all__ = ["COMMAND"]

EXAMPLES = """\
examples:
  scorefield import gdss_qm9.pth --format gdss --out runs/qm9
  scorefield import weights/qm9 --format gdss --out runs/qm9    reads weights/qm9.x.safetensors,
                                            weights/qm9.adj.safetensors and weights/qm9.config.json

Nothing in a downloaded file is executed."""


def add_arguments(parser: ArgumentParser) -> None:
    """What to read, and where the run goes."""
    parser.add_argument("source", metavar="SOURCE", help="an original checkpoint, or the prefix of its parts")
    parser.add_argument("--format", required=True, help="the project it comes from: gdss")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder to make")


def run(args: Namespace) -> int:
    """Read, check, write the run and say what it is."""
    from scorefield.core.importing import import_model

    record = import_model(args.source, args.format, args.out)
    facts = ", ".join(f"{name} {size}" for name, size in record.sizes.items())
    sampling = record.sampling
    defaults = f"{sampling['solver']}, {sampling['steps']} steps, {sampling['weights']} weights"
    print(f"{args.out}: {record.domain} ({facts}); samples with {defaults} by default")
    return 0


COMMAND = Command("import", "another project's weights into a run that sample takes", EXAMPLES, add_arguments, run)
