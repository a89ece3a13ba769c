"""GeoTDM on a GPU: the same numbers as on the CPU, training and forecasts in float32 and bf16, speed and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield.core.configs import packaged_configs
from scorefield.core.experiment import Experiment, read_experiment
from scorefield.core.fitting import train
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.model import Model
from scorefield.core.paths import EDM
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.geometry.geotdm import GeoTDM
from scorefield.domains.geometry.interpolant import InterpolantGeoTDM
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_files import write_trajectories
from tests.on_gpu import DEVICE, GPU, agree_in_a_chain, full_single_precision

pytestmark = GPU

OWN = {"path": EDM(0.002, 20.0), "data_std": 0.5}
NODES, FRAMES, GIVEN, BATCH = 5, 30, 10, 8
SIZES = {"nodes": NODES, "frames": FRAMES, "space": 3, "features": 1, "edge_features": 1}
STEPS = {"trainer.max_epochs": 2, "trainer.accelerator": "gpu"}
FEW = {"data.train": 512, "data.validation": 64, "data.test": 64}


def _frame(given: bool) -> State:
    """Nodes of which the last is missing in every second graph, all joined."""
    draws = torch.Generator().manual_seed(0)
    pairs = [(i, j) for i in range(NODES) for j in range(NODES) if i != j]
    x = torch.randn(BATCH, NODES, FRAMES, 3, generator=draws).cumsum(2) * 0.1
    mask = torch.ones(BATCH, NODES, dtype=torch.bool)
    mask[::2, -1] = False
    edges = torch.tensor(pairs).expand(BATCH, -1, -1)
    charges = torch.randn(BATCH, NODES, 1, generator=draws).sign()
    condition = {"features": charges, "edges": edges, "edge_mask": mask[:, edges[0]].all(-1)}
    condition["edge_features"] = (charges[:, edges[0, :, 0]] * charges[:, edges[0, :, 1]]).contiguous()
    masks = {"mask": mask}
    if given:
        masks["given_frames"] = (torch.arange(FRAMES) < GIVEN).expand(BATCH, -1).contiguous()
        condition["given_x"] = torch.where(masks["given_frames"][:, None, :, None] & mask[:, :, None, None], x, 0.0)
    return State({"x": torch.zeros_like(x)}, masks, condition)


def _file(folder: Path) -> str:
    """Smooth walks of charges, of which 512 are for training."""
    draws = np.random.default_rng(0)
    x = 0.01 * draws.normal(size=(717, NODES, FRAMES, 3)).cumsum(2).cumsum(2) + draws.normal(size=(717, NODES, 1, 3))
    charges = draws.choice([-1.0, 1.0], (717, NODES, 1)).astype(np.float32)
    edges = np.array([(i, j) for i in range(NODES) for j in range(NODES) if i != j])
    told = charges[:, edges[:, 0]] * charges[:, edges[:, 1]]
    pairs = np.broadcast_to(edges, (717, *edges.shape))
    found = Trajectories.of(x.astype(np.float32), dt=0.1, features=charges, edges=pairs, edge_features=told)
    write_trajectories(found, folder / "walks.npz")
    return str(folder / "walks.npz")


@pytest.mark.parametrize("given", [True, False], ids=["forecast", "whole"])
@pytest.mark.parametrize("backbone", ["egtn", "e3nn"])
@pytest.mark.parametrize("recipe", [{}, OWN], ids=["published", "own"])
def test_one_evaluation_and_ten_steps_agree_with_the_cpu(recipe: dict[str, Any], backbone: Any, given: bool) -> None:
    sizes = {**SIZES, "given": GIVEN} if given else SIZES
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = GeoTDM(backbone, **recipe).build(sizes).eval()
    with full_single_precision():
        solver = make_solver("ddpm", 10, final="denoise")
        agree_in_a_chain(system.requires_grad_(False), _frame(given), solver)


def test_an_interpolant_agrees_with_the_cpu() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = InterpolantGeoTDM().build({**SIZES, "given": GIVEN}).eval()
    with full_single_precision():
        agree_in_a_chain(system.requires_grad_(False), _frame(True), Transport(5, grid="cosine"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    "config", ["charged_geotdm", "charged_geotdm_paper", "charged_geotdm_uncond", "charged_interpolant", "springs_e3nn"]
)
def test_a_config_trains_and_generates(
    tmp_path: Path, config: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Experiment.from_dict(read_experiment(packaged_configs()[f"geometry/{config}"]))
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    changes = {**STEPS, **FEW, "data.path": _file(tmp_path), "trainer.precision": precision}
    run = Model(train(experiment.overridden(changes), name="run", out=tmp_path / "run"))
    trained, peak = time.perf_counter() - begin, torch.cuda.max_memory_allocated() / 2**20
    begin = time.perf_counter()
    few = {"steps": 20} if config.endswith("_paper") else {}
    settings: dict[str, Any] = {"device": DEVICE, "precision": precision, "chunk_size": 256, **few}
    if "given" in run.record.sizes:
        found = run.forecast("test", num=4, **settings).paths
        assert found.shape == (64, 4, NODES, FRAMES, 3)
    else:
        found = run.sample(256, **settings).x
        assert found.shape == (256, NODES, 20, 3)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    assert bool(np.isfinite(found).all())
    with capsys.disabled():
        print(f"\n{config}, {precision}: two epochs of 512 in {trained:.1f} s, {peak:.0f} MiB; ", end="")
        print(f"{256 / seconds:.1f} trajectories a second")
