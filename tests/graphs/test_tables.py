"""The tables of the published data sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.graphs.gdss_tables import GDSS_DATA, gdss_tables, make_tables

TRAIN = {"community_small": 80, "ego_small": 160, "ENZYMES": 470, "grid": 80, "QM9": 120_803, "ZINC250k": 224_568}


@pytest.mark.parametrize("name", GDSS_DATA)
def test_tables(name: str) -> None:
    entry = gdss_tables(name)
    counts = {int(size): number for size, number in entry["tables"]["node_counts"].items()}
    assert sum(counts.values()) == TRAIN[name]
    assert max(counts) <= entry["sizes"]["max_nodes"] == GDSS_DATA[name][0]
    assert len(entry["tables"].get("atoms", [0] * GDSS_DATA[name][1])) == entry["sizes"]["features"]
    assert gdss_tables(name.upper()) == entry


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="moses is no data set of the published weights; known are community_small"):
        gdss_tables("moses")


def test_generic_tables_are_those_of_the_data(shared_dir: Path) -> None:
    for name in ("community_small", "ego_small", "ENZYMES", "grid"):
        with np.load(shared_dir / f"data/graphs/{name}.npz") as arrays:
            train = arrays["num_nodes"][~arrays["is_test"].astype(bool)]
        sizes, frequency = np.unique(train, return_counts=True)
        assert gdss_tables(name)["tables"]["node_counts"] == dict(zip(map(str, sizes), frequency.tolist(), strict=True))


@pytest.mark.slow
def test_all_tables_are_made_anew(shared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path))
    made = json.loads(json.dumps(make_tables(shared_dir / "data/graphs")))
    assert made == {name: gdss_tables(name) for name in GDSS_DATA}
