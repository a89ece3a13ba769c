"""PaD-TS on a GPU: the same numbers as on the CPU, training and sampling in float32 and bf16, speed and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scorefield.core.paths import EDM
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.series.data import SinesData
from scorefield.domains.series.pad_ts.recipe import PaDTS
from tests.on_gpu import DEVICE, GPU, agree_in_a_chain, full_single_precision

pytestmark = GPU

WINDOWS = 2048
OWN = {"gelu": "exact", "dropout": 0.0, "path": EDM(0.002, 20.0), "data_std": 0.5}


@pytest.mark.parametrize("recipe", [{}, OWN], ids=["published", "own"])
def test_one_evaluation_and_ten_steps_agree_with_the_cpu(recipe: dict[str, Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = PaDTS(**recipe).build({"length": 24, "features": 6}).eval()
    frame = State({"x": torch.zeros(64, 24, 6)})
    with full_single_precision():
        agree_in_a_chain(system, frame, make_solver("ddpm", 10, final="denoise"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("config", ["sines_pad_ts", "sines_pad_ts_paper"])
def test_a_config_trains_and_samples(
    tmp_path: Path, config: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import scorefield as sf

    states = SinesData(number=WINDOWS).arrays()
    limits = {"trainer.max_epochs": 1, "trainer.max_steps": 32, "trainer.precision": precision}
    run = sf.fit(f"series/{config}", states, out=tmp_path / "run", **limits, **{"trainer.accelerator": "gpu"})
    model = sf.load(run)
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    options: dict[str, Any] = {"device": DEVICE, "precision": precision, "chunk_size": WINDOWS, "tile_size": WINDOWS}
    x = model.sample(WINDOWS, decode=False, **options)["x"]
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    assert bool(torch.isfinite(x).all())
    assert float(x.abs().max()) <= 1
    with capsys.disabled():
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(f"\n{config}, {precision}: {WINDOWS / seconds:.0f} windows a second, {peak:.0f} MiB")
