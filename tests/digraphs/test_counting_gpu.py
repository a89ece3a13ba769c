"""Counting on a GPU: the same integers as on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scorefield.core.cli.main import main
from scorefield.domains.digraphs import Digraph, write_digraph
from scorefield.domains.digraphs.degree_counter import _add, _classes
from tests.on_gpu import DEVICE, GPU

pytestmark = GPU


def test_places_and_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    for cells in (1000, 10**7):
        places = torch.randint(0, cells, (10**6,), generator=generator)
        here, there = torch.zeros(cells, dtype=torch.int64), torch.zeros(cells, dtype=torch.int64, device=DEVICE)
        _add(here, places)
        _add(there, places.to(DEVICE))
        assert torch.equal(there.cpu(), here)
    degrees = torch.randint(0, 50, (2, 1000), generator=generator)
    for one, other in zip(_classes(degrees)[1], _classes(degrees.to(DEVICE))[1], strict=True):
        assert torch.equal(other.cpu(), one)


def test_a_fit_counts_the_same(tmp_path: Path) -> None:
    edges = np.random.default_rng(0).zipf(1.8, (10**6, 2)) % 20_000
    distinct = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    write_digraph(tmp_path / "a.parquet", Digraph(distinct[:, 0], distinct[:, 1], 20_000))
    for machine in ("cpu", "gpu"):
        words = ["--data.path", f"{tmp_path}/a.parquet", "--data.batch_size=100000", "--trainer.devices=1"]
        words += [f"--trainer.accelerator={machine}", "--out", f"{tmp_path}/{machine}"]
        assert main(["fit", "--config", "digraphs/rescale", *words]) == 0
    here, there = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("cpu", "gpu"))
    assert here == there
