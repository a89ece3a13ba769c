"""Interpolants from constant velocity: the base, exact equivariance, a short run, forecasts by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.core.cli.main import main
from scorefield.core.configs import packaged_configs
from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment, read_experiment
from scorefield.core.fitting import train
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.model import Model
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import sample
from scorefield.core.state import State
from scorefield.core.system import Network
from scorefield.domains.geometry.baselines import constant_velocity
from scorefield.domains.geometry.interpolant import InterpolantGeoTDM
from scorefield.domains.geometry.velocity_base import VelocityBase

FRAMES = 8
SIZES = {"nodes": 3, "frames": FRAMES, "space": 3, "features": 1, "edge_features": 0, "given": 4}
SMALL: dict[str, Any] = {"hidden": 8, "embedding": 8, "layers": 1, "jitter": 1.0, "growth": 1.5, "floor": 0.01}


def given_frames(given: list[int], seed: int = 0, batch: int = 2) -> State:
    """Walks of three nodes, of which some frames are given."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 3, FRAMES, 3, generator=draws, dtype=torch.float64).cumsum(2)
    mask = torch.zeros(batch, FRAMES, dtype=torch.bool)
    mask[:, given] = True
    condition = {
        "given_x": torch.where(mask[:, None, :, None], x, 0.0),
        "features": torch.randn(batch, 3, 1, generator=draws, dtype=torch.float64),
    }
    return State({"x": x}, {"given_frames": mask}, condition)


def built(**options: Any) -> InterpolantSystem:
    torch.manual_seed(0)
    system = InterpolantGeoTDM(**{**SMALL, **options}).build(SIZES)
    assert isinstance(system, InterpolantSystem)
    return system.double().eval()


class Silent(Network):
    """Says nothing."""

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": torch.zeros_like(state["x"])}


# The base


@pytest.mark.parametrize("given", [[0, 1, 2, 3], [0, 1, 6, 7], [2, 5], [3], [5, 6, 7]])
def test_its_mean_is_constant_velocity(given: list[int]) -> None:
    state = given_frames(given)
    mean, size = VelocityBase().moments(state)["x"]
    mask = np.isin(np.arange(FRAMES), given)
    expected = constant_velocity(state.condition["given_x"].numpy(), mask)
    np.testing.assert_allclose(mean.numpy()[:, :, ~mask], expected[:, :, ~mask], atol=1e-12)
    assert (mean[:, :, given] == 0).all()
    assert size.shape == (2, 3, FRAMES, 1)
    assert bool((size > 0).all())


def test_its_deviation_is_the_error_of_the_given_frames() -> None:
    state = given_frames([0, 1, 2, 3])
    y = state.condition["given_x"]
    size = VelocityBase(jitter=2.0, growth=1.5, floor=0.1).moments(state)["x"][1][..., 0]
    turns = (y[:, :, 2:4] - 2 * y[:, :, 1:3] + y[:, :, :2]).square().mean((2, 3))
    error = (0.5 * (turns + turns.mean(1, keepdim=True))).sqrt()
    for frame, ahead in ((4, 1), (7, 4)):
        torch.testing.assert_close(size[:, :, frame], 2 * (error + 0.1) * ahead**1.5)
    straight = torch.arange(FRAMES, dtype=torch.float64)[None, None, :, None] * torch.randn(2, 3, 1, 3).double()
    state.condition["given_x"] = torch.where(state.masks["given_frames"][:, None, :, None], straight, 0.0)
    size = VelocityBase(jitter=2.0, floor=0.1).moments(state)["x"][1][..., 0]
    torch.testing.assert_close(size[:, :, 4], torch.full((2, 3), 0.2, dtype=torch.float64))


def test_nodes_and_frames_that_do_not_exist_change_nothing() -> None:
    state, wide = given_frames([0, 1, 2, 3]), given_frames([0, 1, 2, 3], seed=1)
    wide.condition["given_x"][:, :2] = state.condition["given_x"][:, :2]
    wide.condition["given_x"][:, 2] = 0.0
    wide.masks["mask"] = torch.tensor([[True, True, False]] * 2)
    wide.masks["frame_mask"] = torch.arange(FRAMES).expand(2, -1) < 7
    few = {"given_x": state.condition["given_x"][:, :2], "features": state.condition["features"][:, :2]}
    narrow = State({"x": state["x"][:, :2]}, state.masks, few)
    wide.condition["features"][:, :2] = few["features"]
    base = VelocityBase()
    for found, expected in zip(base.moments(wide)["x"], base.moments(narrow)["x"], strict=True):
        torch.testing.assert_close(found[:, :2], expected)
    system = built()
    x = sample(system, wide, Transport(2), Seeded(0)).state["x"]
    assert bool(x.isfinite().all())
    assert not x[:, 2].any()
    assert not x[:, :, 7].any()


def test_nothing_of_the_truth_enters() -> None:
    state, base = given_frames([0, 1, 2, 3]), VelocityBase()
    other = state.replace({"x": torch.randn_like(state["x"])})
    assert torch.equal(base.draw(state, Seeded(3))["x"], base.draw(other, Seeded(3))["x"])


# The network around it


def test_a_network_that_says_nothing_leaves_the_base_as_it_is() -> None:
    state, system = given_frames([0, 1, 2, 3]), built()
    system.network.trunk = Silent()
    begin = system.prior(state, Seeded(1))["x"]
    coarse, fine = (sample(system, state, Transport(n, grid="cosine"), Seeded(1)).state["x"] for n in (20, 80))
    assert float((fine - begin).abs().max()) < 0.02 * float(begin[:, :, 4:].std())
    assert float((fine - begin).abs().max()) < float((coarse - begin).abs().max())
    assert not fine[:, :, :4].any()


@pytest.mark.parametrize("interpolant", ["linear", "trigonometric"])
@pytest.mark.parametrize("backbone", ["egtn", "e3nn"])
@pytest.mark.parametrize("given", [[0, 1, 2, 3], [0, 1, 6, 7]])
def test_forecasts_turn_and_move_with_what_is_given(given: list[int], backbone: str, interpolant: str) -> None:
    state, system = given_frames(given), built(backbone=backbone, interpolant=interpolant)
    generator = torch.Generator().manual_seed(2)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    shift, z = torch.randn(3, generator=generator).double(), torch.randn(state["x"].shape, generator=generator).double()
    known = state.masks["given_frames"][:, None, :, None]
    moved = {**state.condition, "given_x": torch.where(known, state.condition["given_x"] @ rotation + shift, 0.0)}
    solver = Transport(3, grid="cosine")
    found = sample(system, state, solver, Replayed([z])).state["x"]
    turned = sample(system, State({"x": state["x"]}, state.masks, moved), solver, Replayed([z @ rotation])).state["x"]
    expected = torch.where(known, 0.0, found @ rotation + shift)
    assert float((turned - expected).abs().max()) < 1e-10 * float(found.abs().max())
    order = torch.tensor([2, 0, 1])
    rows = {name: value[:, order] for name, value in state.condition.items()}
    renamed = sample(system, State({"x": state["x"]}, state.masks, rows), solver, Replayed([z[:, order]])).state["x"]
    torch.testing.assert_close(renamed, found[:, order])


# Runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = Experiment.from_dict(read_experiment(packaged_configs()["geometry/charged_interpolant"]))
    small = {
        "model.system": {"hidden": 16, "embedding": 8, "layers": 1, "jitter": 0.73, "growth": 1.75, "floor": 0.0003},
        "data": {
            "system": "springs",
            "given": "0:4",
            "frames": 8,
            "train": 64,
            "validation": 16,
            "test": 8,
            "nodes": 3,
        },
    }
    changes: dict[str, Any] = {f"{part}.{name}": value for part, own in small.items() for name, value in own.items()}
    changes |= {"data.batch_size": 8, "trainer.max_epochs": 20, "lr": 0.01, "warmup_steps": 5, "ema_decay": 0.9}
    changes |= {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": False}
    return train(experiment.overridden(changes), name="run", out=tmp_path_factory.mktemp("runs") / "run")


def test_training_lowers_the_loss(run: Path) -> None:
    losses = pd.read_csv(run / "metrics.csv")["val_loss_x_target"].dropna()
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_the_command_forecasts_with_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.npz"
    assert main(["forecast", str(run), "--data", "test", "--num", "3", "--out", str(out)]) == 0
    summary = json.loads(Path(f"{out}.json").read_text())
    assert (summary["solver"], summary["steps"], summary["evaluations"]) == ("transport", 10, 20)
    assert 0 < summary["scores"]["model"]["ade"] < 5 * summary["scores"]["constant velocity"]["ade"]
    paths = Model(run).forecast("test", num=3).paths
    assert paths.shape == (8, 3, 3, 8, 3)
    assert np.array_equal(np.load(out)["x"].reshape(paths.shape), paths.astype(np.float32))


def test_between_given_frames_it_interpolates(run: Path) -> None:
    with pytest.warns(UserWarning, match="other frames are given"):
        found = Model(run).interpolate("test", num=2, given="0:2,6:8")
    assert np.flatnonzero(found.missing[0].any(0)).tolist() == [2, 3, 4, 5]


# Bad input


def test_what_it_cannot_do_is_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sample", str(run), "--num", "2", "--out", "s.npz"]) == 2
    assert "without given frames" in capsys.readouterr().err.strip().splitlines()[-1]
    assert main(["refine", str(run), "--data", "test", "--forecast", "constant-velocity", "--out", "r.npz"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()[-1]) > 20
    tiny = ["--data.train=8", "--data.validation=2", "--data.test=2"]
    assert main(["fit", "--config", "geometry/charged_interpolant", "--data.given=null", *tiny]) == 2
    assert "starts from given frames" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jitter": 0.0}, "jitter is 0; give a positive number"),
        ({"growth": -1.0}, "growth is -1"),
        ({"floor": 0.0}, "floor is 0"),
        ({"interpolant": "liner"}, "interpolant of trajectories.*'liner'"),
        ({"hidden": 0}, "hidden is 0"),
        ({"backbone": "gnn"}, "backbone.*'gnn'"),
    ],
)
def test_hyper_parameters_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        InterpolantGeoTDM(**{**SMALL, **options})


def test_states_and_sizes_that_cannot_be() -> None:
    state = given_frames([0, 1, 2, 3])
    with pytest.raises(InputError, match="without given frames"):
        built().prior(State(state.components), Seeded(0))
    state.masks["given_frames"][1] = False
    with pytest.raises(InputError, match="a trajectory without given frames"):
        built().prior(state, Seeded(0))
    for given in (0, FRAMES):
        with pytest.raises(InputError, match="given"):
            InterpolantGeoTDM(**SMALL).build({**SIZES, "given": given})
