"""Importing TSDiff weights: the original's stored model, windows made up from it, and input that must be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scorefield.core.checkpoints import load_system
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.importing import import_model
from scorefield.core.noise import Replayed
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tsdiff import TSDiff
from scorefield.domains.series.tsdiff.importing import import_tsdiff

SETTINGS = {"context_length": 8, "prediction_length": 4, "freq": "H", "timesteps": 10, "init_skip": False, "lags": [5]}
LAST = "backbone.residual_blocks.1."


def weights() -> dict[str, torch.Tensor]:
    """What the original stores: the network, and parts that it never uses."""
    torch.manual_seed(0)
    network = TSDiff(width=8, blocks=2, embedding=8, states=8, num_steps=10).network({"length": 12, "features": 2})
    state = {f"backbone.{name}": value.detach().clone() for name, value in network.state_dict().items()}
    unused = {f"{LAST}out_linear1.weight": (8, 8, 1), f"{LAST}out_linear1.bias": (8,), "scaler.default_scale": ()}
    unused |= {f"backbone.residual_blocks.{k}.feature_encoder.weight": (8, 3, 1) for k in range(2)}
    return {**state, **{name: torch.zeros(shape) for name, shape in unused.items()}}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    save_file(weights(), tmp_path / "own.safetensors")
    (tmp_path / "own.config.json").write_text(json.dumps(SETTINGS))
    return tmp_path / "own"


def test_the_command_makes_a_run_that_samples(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = prefix.with_name("run"), prefix.with_name("made.npz")
    assert main(["import", str(prefix), "--format", "tsdiff", "--out", str(run)]) == 0
    assert "series (length 12, features 2); samples with ddpm, 9 steps, raw weights" in capsys.readouterr().out
    assert main(["sample", str(run), "--num", "4", "--out", str(out), "--condition", "scale=20"]) == 0
    large = SeriesSamples.load(out)
    assert large.x.shape == (4, 12, 1)
    assert large.columns == ("target",)
    assert main(["sample", str(run), "--num", "4", "--out", str(prefix.with_name("small.npz"))]) == 0
    np.testing.assert_allclose(large.x, 20 * SeriesSamples.load(prefix.with_name("small.npz")).x, rtol=1e-6)
    for asked, message in (("scale=-1", "number above 0"), ("label=a", "panels take scale")):
        assert main(["sample", str(run), "--num", "4", "--out", str(out) + "x.npz", "--condition", asked]) == 2
        assert message in capsys.readouterr().err


def test_the_stored_model_predicts_as_the_original(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "fixtures" / "series_tsdiff"
    stored = load_file(folder / "guidance.safetensors")
    save_file({k[3:]: v for k, v in stored.items() if k.startswith("sd.")}, tmp_path / "ref.safetensors")
    settings = {"context_length": 48, "prediction_length": 12, "freq": "H", "timesteps": 100, "init_skip": True}
    (tmp_path / "ref.config.json").write_text(json.dumps(settings))
    record = import_model(tmp_path / "ref", "tsdiff", tmp_path / "run")
    assert record.tables["lags"] == [24, 48, 72, 96, 120, 144, 168, 336, 504, 672]
    system, x = load_system(tmp_path / "run"), stored["x_t"].float()
    for index in (99, 50, 0):
        part = f"ddpm.MSE.t{index}."
        times = f"{(index + 1) / 100},{index / 100 or 0.001}"
        noise = stored.get(f"{part}noise")
        if noise is None:
            found = system.predict(State({"x": x}), torch.full((6,), 0.01), "data")["x"]
        else:
            # The noise of a run's last step is left out.
            found = sample(
                system, State({"x": x}), make_solver("ddpm", 1, grid=times), Replayed([]), start=State({"x": x})
            ).state["x"]
            beta, path = TSDiff().path.betas[index], TSDiff().path  # type: ignore[attr-defined]
            now, before = path.variance(torch.tensor([(index + 1) / 100, index / 100], dtype=torch.float64))
            found = found + (beta * before / now).sqrt().float() * noise.float()
        torch.testing.assert_close(found, stored[f"{part}p_sample"].float(), rtol=1e-4, atol=2e-4)


def test_weights_before_the_first_forward_are_the_same_model(shared_dir: Path, tmp_path: Path) -> None:
    stored = load_file(shared_dir / "fixtures" / "series_tsdiff" / "tsdiff_loss.safetensors")
    settings = {"context_length": 48, "prediction_length": 12, "freq": "H", "timesteps": 100, "init_skip": True}
    kernels = []
    for part in ("init.", "sd."):
        save_file({k[len(part) :]: v for k, v in stored.items() if k.startswith(part)}, tmp_path / "m.safetensors")
        (tmp_path / "m.config.json").write_text(json.dumps(settings))
        kernels.append(
            import_tsdiff(str(tmp_path / "m")).raw["network.residual_blocks.0.s4block.layer.kernel.kernel.C"]
        )
    torch.testing.assert_close(kernels[0], kernels[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freq": None}, "own.config.json: freq: key is missing"),
        ({"freq": "x"}, "unknown frequency"),
        ({"init_skip": None}, "init_skip: key is missing"),
        ({"init_skip": 1}, "neither true nor false"),
        ({"timesteps": 0}, "no whole number"),
        ({"lags": [5, 6]}, "2 lags, where the weights are of 1"),
        ({"lags": None, "freq": "W"}, "no lags are known"),
        ({"context_length": 9}, "trained on windows of 12 steps, the configuration says 13"),
        ({"diff_scheduler": "cosine"}, "only linear is"),
        ({"normalization": "zscore"}, "only mean is"),
        ({"use_features": True}, "features of time"),
        ({"beta_end": 0.2}, "only 0.1 is"),
        ({"beta_end": float("nan")}, "own.config.json: beta_end: nan is no finite number"),
        ({"fallback_scale": 0}, "own.config.json: fallback_scale: 0 is no scale; give the mean size"),
        ({"fallback_scale": -2.5}, "fallback_scale: -2.5 is no scale"),
        ({"fallback_scale": float("inf")}, "fallback_scale: inf is no finite number"),
        ({"fallback_scale": float("nan")}, "fallback_scale: nan is no finite number"),
        ({"fallback_scale": 10**400}, "is no finite number"),
        ({"fallback_scale": True}, "True is no finite number"),
        ({"fallback_scale": "much"}, "'much' is no number"),
        ({"timesteps": float("inf")}, "timesteps: inf is no whole number above 0"),
        ({"lags": [5, 5]}, r"lags: \[5, 5\] names a lag twice"),
        ({"lags": [True]}, r"lags: \[True\] is no list of steps"),
    ],
)
def test_settings_that_do_not_fit(prefix: Path, changes: dict[str, Any], message: str) -> None:
    settings = {name: value for name, value in {**SETTINGS, **changes}.items() if value is not None}
    prefix.with_name("own.config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=message) as caught:
        import_tsdiff(str(prefix))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["input_init.0.weight", "residual_blocks.0.s4block.layer.D", "out_linear.2.bias"])
def test_weights_that_do_not_fit(prefix: Path, name: str) -> None:
    whole, file = weights(), prefix.with_name("own.safetensors")
    for broken in ({k: v for k, v in whole.items() if k != f"backbone.{name}"},
                   {**whole, f"backbone.{name}": whole[f"backbone.{name}"] * torch.nan}):  # fmt: skip
        save_file(broken, file)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            import_tsdiff(str(prefix))
    save_file({**whole, "backbone.other": torch.zeros(1)}, file)
    with pytest.raises(InputError, match="weight of no part"):
        import_tsdiff(str(prefix))
