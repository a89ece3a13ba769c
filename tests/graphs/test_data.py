"""Data modules: splits, batches, order, cache, downloads, exports."""

from __future__ import annotations

import gzip
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from scorefield.core.downloads import cache_folder
from scorefield.core.errors import InputError
from scorefield.core.loading import EpochSampler, batch_loader
from scorefield.core.states_check import check_states
from scorefield.domains.graphs import data as data_module
from scorefield.domains.graphs import molecule_data
from scorefield.domains.graphs.batches import StateDataset
from scorefield.domains.graphs.chemistry import files
from scorefield.domains.graphs.chemistry.encode import encode
from scorefield.domains.graphs.data import MoleculeData, QM9Data
from scorefield.domains.graphs.sources import QM9, ZINC250K, MoleculeSource
from scorefield.domains.graphs.splits import published_index, read_index

SMILES = ["C", "CC", "CCO", "c1ccccc1", "C#N", "O", "FCF", "CC(=O)O", "C1CC1", "CN(C)C"] * 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def smiles_file(tmp_path: Path) -> str:
    path = tmp_path / "m.smi"
    path.write_text("".join(f"{smiles} {row}\n" for row, smiles in enumerate(SMILES)))
    return str(path)


def ready(path: str, **options: object) -> MoleculeData:
    data = MoleculeData(path, batch_size=8, **options)  # type: ignore[arg-type]
    data.setup("fit")
    return data


def test_own_file(smiles_file: str) -> None:
    data = ready(smiles_file)
    assert data.sizes == {"features": 4, "max_nodes": 6}
    assert (data.tables["kind"], data.tables["atoms"]) == ("molecules", ["C", "N", "O", "F"])
    assert sum(data.tables["node_counts"].values()) == 36
    assert (len(data.train_references()), len(data.test_references())) == (36, 4)
    assert sorted(data.train_references() + data.test_references()) == sorted(SMILES)
    assert {name: data.provenance[name] for name in ("train", "validation", "test")} == {
        "train": 34, "validation": 2, "test": 4
    }  # fmt: skip
    assert len(data.provenance["sha256"]) == 64
    assert json.loads(json.dumps([data.sizes, data.tables, data.provenance]))


def test_batches(smiles_file: str) -> None:
    loader = ready(smiles_file).train_dataloader()
    batches = list(loader)
    assert [len(batch["x"]) for batch in batches] == [8, 8, 8, 8, 2]
    for batch in batches:
        assert (batch["x"].dtype, batch["adj"].dtype, batch["mask"].dtype) == (torch.float32, torch.float32, torch.bool)
        size = int(batch["mask"].sum(1).max())
        assert batch["adj"].shape[1:] == (size, size)
        assert batch["x"].shape[1:] == (size, 4)
        assert torch.equal(batch["x"].sum(-1), batch["mask"].float())
        check_states(batch["mask"].numpy(), {name: batch[name].numpy() for name in ("x", "adj")}, ["adj"])
    assert min(int(batch["mask"].sum(1).min()) for batch in batches) == 1


def test_batches_hold_the_molecules(smiles_file: str) -> None:
    data = ready(smiles_file)
    encoded = encode(data.test_references(), None, None)
    batch = next(iter(data.test_dataloader()))
    np.testing.assert_array_equal(batch["adj"].numpy(), encoded.bonds)
    np.testing.assert_array_equal(batch["mask"].sum(1).numpy(), encoded.num_nodes)


def test_order_comes_from_seed_and_epoch(smiles_file: str) -> None:
    dataset = ready(smiles_file).train_dataloader().dataset
    assert isinstance(dataset, StateDataset)

    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(dataset, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert sorted(order(0, 1)) == list(range(34))
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_processes_share_the_batch(smiles_file: str) -> None:
    dataset = ready(smiles_file).train_dataloader().dataset
    assert isinstance(dataset, StateDataset)
    options = {"shuffle": True, "seed": 3}
    whole = [set(batch) for batch in batch_loader(dataset, 8, **options).batch_sampler]  # type: ignore[arg-type]
    parts = [
        list(batch_loader(dataset, 8, **options, world_size=2, rank=rank).batch_sampler)  # type: ignore[arg-type]
        for rank in (0, 1)
    ]
    assert [set(a) | set(b) for a, b in zip(*parts, strict=True)] == whole
    with pytest.raises(InputError, match="a batch of 8 cannot be shared out over 3 processes"):
        batch_loader(dataset, 8, shuffle=True, seed=0, world_size=3)


def test_loading_processes_change_nothing(smiles_file: str) -> None:
    one, two = (list(ready(smiles_file, num_workers=workers).val_dataloader()) for workers in (0, 1))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a)


def test_trainer_sets_the_epoch(smiles_file: str, tmp_path: Path) -> None:
    seen: list[list[int]] = []

    class Sums(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
            if index == 0:
                seen.append(batch["mask"].sum(1).tolist())
            return self.weight * batch["x"].sum()

        def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
            assert batch["mask"].any()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0)

    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=2, default_root_dir=tmp_path, enable_model_summary=False, **options)  # type: ignore[arg-type]
    data = ready(smiles_file)
    trainer.fit(Sums(), datamodule=data)
    loader = data.train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        assert next(iter(loader))["mask"].sum(1).tolist() == seen[epoch]
    assert seen[0] != seen[1]


def test_validation_on_the_test_split(smiles_file: str) -> None:
    data = ready(smiles_file, validation="test")
    assert (data.provenance["train"], data.provenance["validation"]) == (36, 4)
    assert ready(smiles_file, seed=1).test_references() != data.test_references()


def test_cache(smiles_file: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ready(smiles_file)
    stored = list(own_cache.iterdir())
    assert len(stored) == 1
    monkeypatch.setattr(files, "read_table", None)
    again = ready(smiles_file)
    assert again.train_references() == first.train_references()
    monkeypatch.undo()
    monkeypatch.setenv("SCOREFIELD_CACHE", str(own_cache))
    stored[0].write_bytes(b"broken")
    assert ready(smiles_file).tables == first.tables
    Path(smiles_file).write_text("CCN\nCCCC\nC\n")
    assert ready(smiles_file).sizes == {"features": 2, "max_nodes": 4}


def test_cache_that_cannot_be_written(
    smiles_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCOREFIELD_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(ready(smiles_file).train_references()) == 36
    assert "not kept" in caplog.text
    assert cache_folder() == tmp_path / "file"


def test_exported_arrays(smiles_file: str) -> None:
    arrays = ready(smiles_file).arrays()
    check_states(arrays["mask"], {name: arrays[name] for name in ("x", "adj")}, ["adj"])
    assert (arrays["x"].shape, arrays["adj"].shape) == ((40, 6, 4), (40, 6, 6))
    assert all(array.dtype != object for array in arrays.values())
    assert (arrays["is_test"].sum(), arrays["is_validation"].sum()) == (4, 2)
    assert set(json.loads(str(arrays["meta"]))) == {"sizes", "tables", "provenance"}


def test_built_by_its_signature(smiles_file: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(MoleculeData, "data")
    config = parser.parse_args(["--data=MoleculeData", f"--data.path={smiles_file}", "--data.atoms=[C,N,O,F,S]"])
    data = parser.instantiate(config).data
    data.setup()
    assert data.sizes["features"] == 5


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("C\nCCN\nC1C\n", {}, "row 3: 'C1C' is not a SMILES"),
        ("C\n\nCS\n", {"atoms": ["C"]}, "row 3: atom S is not in the atom table"),
        ("C\nCCCC\n", {"max_nodes": 3}, "row 2: 4 atoms, more than the maximum of 3"),
        ("C\n", {}, "1 molecule cannot be split"),
        ("", {}, "the file is empty"),
    ],
)
def test_bad_own_files(tmp_path: Path, text: str, options: dict[str, object], message: str) -> None:
    path = tmp_path / "bad.smi"
    path.write_text(text)
    for _ in range(2):  # the second time from the cache, if anything was kept
        with pytest.raises(InputError, match=f"^{path}: {message}"):
            ready(str(path), **options)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing.smi: there is no such file"):
        ready(str(tmp_path / "missing.smi"))
    with pytest.raises(InputError, match=r"no file of molecules is named; give one with --data\.path"):
        MoleculeData().setup()
    with pytest.raises(InputError, match=r"data\.test_fraction is 1\.5"):
        MoleculeData(test_fraction=1.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("[1, 2", "is not a JSON file"),
        ('{"a": 1}', "is not a list of row numbers"),
        ("[0, 40]", "entry 2: row 40 is outside the data of 40 rows"),
        ("[3, 3]", "names a row twice"),
        ('["x"]', "is not a list of row numbers"),
    ],
)
def test_bad_test_index(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "index.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"^{path}: ({message})"):
        read_index(path, 40)


def test_test_index(smiles_file: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"valid_idxs": ["000003", "000001"]}')
    data = ready(smiles_file, test_index=str(tmp_path / "index.json"))
    assert data.test_references() == ["CC", "c1ccccc1"]


@pytest.fixture
def small_qm9(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "QM9", replace(data_module.QM9, size=40, test_size=5))


def table(path: Path, number: int = 40) -> str:
    path.write_text("mol_id,smiles\n" + "".join(f"{row},{text}\n" for row, text in enumerate(SMILES[:number])))
    return path.as_uri()


@pytest.mark.usefixtures("small_qm9")
def test_download(tmp_path: Path, own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = QM9Data(url=table(tmp_path / "served.csv"), batch_size=8)
    data.setup()
    assert "QM9 is split at random, not as published" in caplog.text
    assert (data.provenance["test"], data.provenance["split"]) == (5, "random split, seed 0")
    assert data.provenance["rows_as_published"] is False
    (tmp_path / "served.csv").unlink()
    QM9Data(url="file:///nowhere", batch_size=8).setup()
    assert (own_cache / "downloads/qm9.csv").exists()


@pytest.mark.usefixtures("small_qm9")
def test_downloads_that_fail(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(InputError, match=r"^QM9 cannot be downloaded from file:.*give the file with --data\.path"):
        QM9Data(url=(tmp_path / "nothing.csv").as_uri()).prepare_data()
    with pytest.raises(InputError, match="holds 39 molecules instead of 40"):
        QM9Data(url=table(tmp_path / "served.csv", 39)).prepare_data()
    with pytest.raises(InputError, match=r"served.csv: holds 39 molecules, QM9 has 40; use MoleculeData"):
        QM9Data(str(tmp_path / "served.csv")).setup()
    assert not list((own_cache / "downloads").iterdir())


@pytest.mark.parametrize(("source", "test_size"), [(QM9, 13_082), (ZINC250K, 24_887)])
def test_published_indices_are_packaged(source: MoleculeSource, test_size: int, shared_dir: Path) -> None:
    index = published_index(source.index, source.size)
    assert index is not None
    assert len(index) == test_size == source.test_size
    assert np.array_equal(index, read_index(shared_dir / f"data/graphs/{source.index}.json", source.size))
    assert published_index(source.index, 40) is None


@pytest.mark.usefixtures("small_qm9")
@pytest.mark.parametrize("beside", [False, True])
def test_published_split_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, beside: bool
) -> None:
    monkeypatch.setattr(molecule_data, "published_index", lambda name, rows: np.array([1, 3]))
    table(tmp_path / "q.csv")
    if beside:
        (tmp_path / "qm9_test_idx.json").write_text("[3, 1]")
    with caplog.at_level(logging.INFO):
        data = QM9Data(str(tmp_path / "q.csv"))
        data.setup()
    assert data.provenance["split"] == "published split"
    assert data.test_references() == [SMILES[1], SMILES[3]]
    assert "2 for testing: published split" in caplog.text
    assert "may name other molecules" in caplog.text


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_any_rows_in_any_order(rows: list[int]) -> None:
    encoded = encode(SMILES[:10], None, None)
    dataset = StateDataset(encoded.packed, len(encoded.table), np.arange(10))
    batch = dataset.__getitems__(rows)
    for place, row in enumerate(rows):
        size = int(encoded.num_nodes[row])
        one = dataset[row]
        assert torch.equal(batch["x"][place, :size], one["x"])
        assert torch.equal(batch["adj"][place, :size, :size], one["adj"])
        assert not batch["mask"][place, size:].any()


@pytest.mark.slow
def test_published_split_of_qm9(shared_dir: Path, tmp_path: Path) -> None:
    data = QM9Data(str(shared_dir / "data/graphs/qm9_smiles.txt.gz"), validation="test")
    data.setup()
    assert (data.provenance["train"], data.provenance["test"]) == (120_803, 13_082)
    assert data.provenance["rows_as_published"] is True
    assert data.tables["node_counts"]["1"] == 3
    rows = gzip.decompress((shared_dir / "data/graphs/qm9_smiles.txt.gz").read_bytes()).decode().split()
    index = json.loads((shared_dir / "data/graphs/qm9_test_idx.json").read_text())
    assert data.test_references() == [rows[row] for row in index]
    assert data.provenance["split"] == "published split"
    (tmp_path / "alone.txt.gz").symlink_to(shared_dir / "data/graphs/qm9_smiles.txt.gz")
    alone = QM9Data(str(tmp_path / "alone.txt.gz"), validation="test")
    alone.setup()
    assert alone.test_references() == data.test_references()
