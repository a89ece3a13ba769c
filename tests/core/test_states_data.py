"""Data of encoded states."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from scorefield.core.errors import InputError
from scorefield.core.states_data import StatesData
from tests.core.tiny_recipe import tiny_batch


def arrays(count: int = 40) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tiny_batch(count).items()}


def data_of(values, **options) -> StatesData:
    data = StatesData(**options)
    data.values = values
    data.setup("fit")
    return data


def test_sizes_tables_and_splits_are_inferred():
    values = arrays()
    data = data_of(values, validation_fraction=0.25)
    assert data.sizes == {"max_nodes": 6, "features": 3}
    assert data.tables["kind"] == "graphs"
    assert sum(data.tables["node_counts"].values()) == 30
    assert {name: data.provenance[name] for name in ("train", "validation", "test")} == {
        "train": 30,
        "validation": 10,
        "test": 0,
    }


def test_batches_are_padded_to_their_largest_sample():
    values = arrays()
    small = values["mask"].sum(1) <= 3
    data = data_of({name: value[small] for name, value in values.items()}, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape[1:] == (3, 3)
    assert batch["adj"].shape[1:] == (3, 3)
    assert batch["mask"].dtype == torch.bool
    assert batch["x"].dtype == torch.float32


def test_what_is_exported_is_read_again(tmp_path):
    values = {
        **arrays(),
        "is_test": np.arange(40) < 5,
        "is_validation": np.arange(40) > 35,
        "meta": json.dumps({"sizes": {"features": 3, "max_nodes": 6}, "tables": {"kind": "molecules"}}),
    }
    first = data_of(values)
    np.savez(tmp_path / "states.npz", **first.arrays())
    second = StatesData(str(tmp_path / "states.npz"))
    second.setup("fit")
    assert second.tables == {"kind": "molecules"}
    for name, value in first.arrays().items():
        assert np.array_equal(value, second.arrays()[name])
    assert (second.provenance["train"], second.provenance["validation"], second.provenance["test"]) == (31, 4, 5)


def without(name):
    return {key: value for key, value in arrays().items() if key != name}


def changed(name, function):
    return {**arrays(), name: function(arrays()[name])}


def with_entry(values, row, place, value):
    values[row][place] = value
    return values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (without("mask"), "needs a mask"),
        ({"mask": arrays()["mask"]}, "needs a mask and the components"),
        (changed("mask", lambda m: m[:, :, None]), "mask: has shape"),
        (changed("x", lambda x: x[:-1]), r"x: has shape \(39, 6, 3\)"),
        (changed("adj", lambda a: a[:, :, :-1]), "adj: has shape"),
        (changed("x", lambda x: np.where(np.arange(40)[:, None, None] == 7, np.nan, x)), "x, row 7"),
        (changed("x", lambda x: x.astype("U3")), "not numbers"),
        (changed("adj", lambda a: np.where(np.arange(40)[:, None, None] == 7, np.inf, a)), "adj, row 7: a value"),
        (changed("adj", lambda a: with_entry(a, 5, (0, 1), 3)), "adj, row 5: the matrix is not symmetric"),
        (changed("adj", lambda a: with_entry(a, 5, (1, 1), 1)), "adj, row 5: a node is joined to itself"),
        (changed("adj", lambda a: np.ones_like(a) - np.eye(6)), "adj, row 2: an entry lies outside the mask"),
        (changed("x", lambda x: np.ones_like(x)), "x, row 2: an entry lies outside the mask"),
        (changed("mask", lambda m: m & (np.arange(40) != 9)[:, None]), "mask, row 9: no node is there"),
        ({**arrays(), "meta": '{"tables": {"node_counts": {"0": 1}}}'}, "meta, tables.node_counts: counts"),
        ({**arrays(), "is_test": np.ones(40)}, "no sample is left"),
        ({**arrays(), "meta": "{"}, "meta: not JSON"),
    ],
)
def test_wrong_arrays_are_named(values, words):
    with pytest.raises(InputError, match=words):
        data_of(values)


def test_wrong_files(tmp_path):
    with pytest.raises(InputError, match=r"--data\.path"):
        StatesData().setup()
    with pytest.raises(InputError, match="no such file"):
        StatesData(str(tmp_path / "none.npz")).setup()
    np.savez(tmp_path / "loop.npz", **changed("adj", lambda a: with_entry(a, 3, (0, 0), 1)))
    with pytest.raises(InputError, match=r"loop\.npz: adj, row 3: a node is joined to itself"):
        StatesData(str(tmp_path / "loop.npz")).setup()
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match=r"bad\.npz: not an \.npz"):
        StatesData(str(tmp_path / "bad.npz")).setup()
