"""Node counts and atom tables of the six data sets with published GDSS weights.

The published weights come without them, yet sampling starts from a draw of node counts of the training split.
The shipped file holds the histograms of the published training splits, made by `make_tables` from the data
themselves. Source of splits and sizes: GDSS (arXiv 2202.02514) and its configurations.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import atomic

__all__ = ["GDSS_DATA", "gdss_tables", "make_tables"]

GDSS_DATA: dict[str, tuple[int, int]] = {
    "community_small": (20, 10),
    "ego_small": (18, 17),
    "ENZYMES": (125, 10),
    "grid": (361, 5),
    "QM9": (9, 4),
    "ZINC250k": (38, 9),
}
"""Published data sets: padded number of nodes and number of node features."""


def gdss_tables(name: str) -> dict[str, Any]:
    """Sizes and tables of a published data set.

    Args:
        name: its name as the configurations write it, in any case of letters.

    Returns:
        `{"sizes": {"features", "max_nodes"}, "tables": {"kind", "atoms", "node_counts"}}`; generic graphs
        have no `atoms`, their features are the one-hot degree.

    Raises:
        InputError: an unknown name.
    """
    text = files("scorefield.domains.graphs").joinpath("gdss_tables.json").read_text()
    known: dict[str, dict[str, Any]] = json.loads(text)
    for key, entry in known.items():
        if key.lower() == name.lower():
            return entry
    raise InputError(f"{name} is no data set of the published weights", mend=f"known are {', '.join(known)}")


def make_tables(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables of all six data sets.

    Args:
        folder: holds `NAME.npz` of the generic graphs (`num_nodes`, `is_test`), and for the molecules
            `NAME_smiles.txt.gz` with `NAME_test_idx.json`.
    """
    made = {}
    for name, (max_nodes, features) in GDSS_DATA.items():
        tables: dict[str, Any] = {"kind": "molecules" if name in ("QM9", "ZINC250k") else "graphs"}
        if tables["kind"] == "molecules":
            tables["atoms"], counts = _molecules(folder, name.lower())
        else:
            with np.load(folder / f"{name}.npz") as arrays:
                counts = arrays["num_nodes"][~arrays["is_test"].astype(bool)]
        sizes, frequency = np.unique(counts, return_counts=True)
        tables["node_counts"] = {str(size): int(n) for size, n in zip(sizes, frequency, strict=True)}
        made[name] = {"sizes": {"features": features, "max_nodes": max_nodes}, "tables": tables}
    return made


def _molecules(folder: Path, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Elements and node counts of the training split."""
    from scorefield.domains.graphs.chemistry.atoms import AtomTable
    from scorefield.domains.graphs.chemistry.files import encode_file
    from scorefield.domains.graphs.splits import read_index

    packed = encode_file(folder / f"{name}_smiles.txt.gz").packed
    test = read_index(folder / f"{name}_test_idx.json", len(packed))
    train = np.setdiff1d(np.arange(len(packed)), test)
    return list(AtomTable.from_numbers(packed.nodes).symbols), packed.num_nodes[train]


def main() -> None:
    """Write the shipped file anew: `python -m scorefield.domains.graphs.gdss_tables FOLDER`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder of the data sets")
    with atomic(Path(__file__).with_suffix(".json")) as temporary:
        lines = [
            f" {json.dumps(name)}: {json.dumps(entry)}"
            for name, entry in make_tables(parser.parse_args().folder).items()
        ]
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
