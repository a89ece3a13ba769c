"""TSDiff on a GPU: the same numbers as on the CPU, training and forecasts in float32 and bf16, speed and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield.core.guidance.levels import LEVEL, quantile_levels
from scorefield.core.guidance.observations import GaussianObservation, QuantileObservation
from scorefield.core.guidance.registry import make_guide
from scorefield.core.guide import Guide
from scorefield.core.paths import EDM
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.recipe import TSDiff
from tests.on_gpu import DEVICE, GPU, agree_in_a_chain, full_single_precision
from tests.series.small_panels import lines_of, waves

pytestmark = GPU

OWN = {"path": EDM(0.002, 20.0), "data_std": 1.0}
LENGTH, KNOWN, PATHS = 360, 312, 64


def _frame() -> State:
    known = torch.full((PATHS, LENGTH, 1), torch.nan)
    known[:, :KNOWN, 0] = 1 + 0.5 * (torch.arange(KNOWN) / 4).sin()
    condition = {"observed_x": known, LEVEL: quantile_levels(1, PATHS)}
    return State({"x": torch.zeros(PATHS, LENGTH, 1)}, {}, condition)


def _none() -> list[Guide]:
    return []


def _self() -> list[Guide]:
    potential = QuantileObservation("x", "observed_x", LEVEL)
    return [make_guide("self", potential, {"weight": 2.0, "point": "current"})]


def _moments() -> list[Guide]:
    return [make_guide("moments", GaussianObservation("x", "observed_x", 0.05), {"iterations": 1})]


@pytest.mark.parametrize("guides", [_none, _self, _moments])
@pytest.mark.parametrize("kernel", ["dplr", "diag"])
@pytest.mark.parametrize("recipe", [{}, OWN], ids=["published", "own"])
def test_one_evaluation_and_ten_steps_agree_with_the_cpu(recipe: dict[str, Any], kernel: Any, guides: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = TSDiff(kernel=kernel, **recipe).build({"length": LENGTH, "features": 1}).eval()
    with full_single_precision():
        agree_in_a_chain(system.requires_grad_(False), _frame(), make_solver("ddpm", 10, final="denoise"), guides)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("config", ["m4_hourly_tsdiff", "m4_hourly_tsdiff_paper"])
def test_a_config_trains_and_forecasts(
    tmp_path: Path, config: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import scorefield as sf

    panel = waves(64, 600)
    file = tmp_path / "panel.jsonl"
    file.write_text(lines_of(panel))
    states = PanelData(str(file), frequency="h", context=KNOWN, prediction=LENGTH - KNOWN, lags="none").arrays()
    limits = {"trainer.max_epochs": 1, "trainer.max_steps": 32, "trainer.precision": precision}
    run = sf.fit(f"series/{config}", states, out=tmp_path / "run", **limits, **{"trainer.accelerator": "gpu"})
    histories = np.stack([panel.series(k) for k in range(16)])
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    found = sf.load(run).forecast(
        histories, num=100, device=DEVICE, precision=precision, chunk_size=1600, tile_size=1600
    )
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    assert found.paths.shape == (16, 100, LENGTH - KNOWN, 1)
    assert bool(np.isfinite(found.paths).all())
    with capsys.disabled():
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(f"\n{config}, {precision}: {16 / seconds:.2f} forecasts of 100 paths a second, {peak:.0f} MiB")
