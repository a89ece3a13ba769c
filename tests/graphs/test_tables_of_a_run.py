"""What the graph domain finds wrong in a run's tables, and what it says of its libraries and formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import rdkit

from scorefield.core.errors import InputError
from scorefield.domains.graphs.domain import GraphDomain

SIZES = {"max_nodes": 3, "features": 2}
TABLES = {"kind": "molecules", "atoms": ["C", "N"], "node_counts": {"2": 5, "3": 1}}


def test_right_tables_pass():
    GraphDomain().check_tables(TABLES, SIZES, Path("model.json"))
    GraphDomain().check_tables({"kind": "graphs", "node_counts": {"3": 1}}, SIZES, Path("model.json"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        *(
            ({"node_counts": value}, "node_counts")
            for value in (None, [], {}, {"4": 1}, {"a": 1}, {"2": "1"}, {"2": 0})
        ),
        *(({"atoms": value}, "atoms") for value in (None, "CN", ["C"], [6, 7])),
    ],
)
def test_wrong_tables_are_named(change, key):
    with pytest.raises(InputError, match=rf"model\.json: tables\.{key}: "):
        GraphDomain().check_tables({**TABLES, **change}, SIZES, Path("model.json"))


def test_versions_and_suffixes():
    assert GraphDomain().versions(TABLES) == {"rdkit": rdkit.__version__}
    assert GraphDomain().versions({"kind": "graphs"}) == {}
    assert ".smi.gz" in GraphDomain().suffixes(TABLES)
