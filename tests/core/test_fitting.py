"""Training runs: what they write, resuming, two processes, interruption."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment, read_experiment
from scorefield.core.fitting import checked_resume, fit, train
from scorefield.core.module import ScoreModule
from scorefield.core.settings import SamplerSettings
from tests.core.tiny_recipe import Tiny, tiny_batch

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model": {"system": {"class_path": "tests.core.tiny_recipe.Tiny"}, "lr": 0.01, "weight_decay": 0.1},
    "data": {"class_path": "scorefield.core.states_data.StatesData", "init_args": {"batch_size": 16}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1},
}


def states(count: int = 80) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tiny_batch(count).items()}


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs."""
    folder = tmp_path_factory.mktemp("runs") / "four"
    return fit(CONFIG, states(), folder, max_epochs=4)


def test_a_run_folder_holds_all_that_is_promised(trained):
    names = {path.name.partition(".out.tfevents")[0] for path in trained.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml", "metrics.csv", "model.json", "model.safetensors", "best.ckpt", "last.ckpt", "events"
    }  # fmt: skip
    record = json.loads((trained / "model.json").read_text())
    assert record["sizes"] == {"max_nodes": 6, "features": 3}
    assert record["sampling"]["weights"] == "ema"
    assert record["system"]["init_args"] == {"width": 8, "beta_max": 1.0}
    weights = load_file(trained / "model.safetensors")
    assert {name.partition(".")[0] for name in weights} == {"raw", "ema"}
    assert not torch.equal(weights["raw.network.x.enter.weight"], weights["ema.network.x.enter.weight"])


def test_losses_fall_and_are_logged_by_component(trained):
    table = rows(trained)
    assert [row["epoch"] for row in table] == [0, 1, 2, 3]
    for phase in ("train", "val"):
        assert table[-1][f"{phase}_loss"] < table[0][f"{phase}_loss"]
        total = table[0][f"{phase}_loss_x"] + table[0][f"{phase}_loss_adj"]
        assert total == pytest.approx(table[0][f"{phase}_loss"], rel=1e-5)
    assert table[0]["norm_x"] > 0


def test_the_written_configuration_trains_again_to_the_same_bytes(trained, tmp_path):
    tree = read_experiment(trained / "config.yaml")
    again = fit(tree, states(), tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_resuming_continues_bit_for_bit(trained, tmp_path):
    np.savez(tmp_path / "states.npz", **states())
    folder = fit(CONFIG, tmp_path / "states.npz", tmp_path / "run", max_epochs=2)
    experiment = Experiment.from_dict(read_experiment(folder / "config.yaml")).overridden({"max_epochs": 4})
    train(experiment, name="run", resume=checked_resume(folder))
    assert (folder / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert rows(folder) == rows(trained)
    with pytest.raises(InputError, match="finished its 4 epochs"):
        train(experiment, name="run", resume=folder)


def test_training_says_what_matters_only(tmp_path, caplog):
    with warnings.catch_warnings(record=True) as warned, caplog.at_level("INFO"):
        warnings.simplefilter("always")
        fit(CONFIG, states(), tmp_path / "run", max_epochs=1)
    assert not [str(warning.message) for warning in warned if "LeafSpec" in str(warning.message)]
    assert "stopped" not in caplog.text


def test_the_global_random_state_is_left_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit(CONFIG, states(), tmp_path / "run", max_epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_weights_that_never_take_part_stay_as_they_were(trained):
    """Weight decay would move them otherwise."""
    from tests.core.tiny_recipe import Tiny

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = Tiny().build({"features": 3, "max_nodes": 6}).state_dict()
    last = load_file(trained / "model.safetensors")
    name = "network.x.unused.weight"
    assert torch.equal(first[name], last[f"raw.{name}"])


def test_without_average_raw_weights_are_the_default(tmp_path):
    folder = fit(CONFIG, states(), tmp_path / "run", max_epochs=1, ema_decay=None)
    assert json.loads((folder / "model.json").read_text())["sampling"]["weights"] == "raw"
    assert all(name.startswith("raw.") for name in load_file(folder / "model.safetensors"))


def test_two_processes_train_as_one(trained, tmp_path):
    """Their draws are those of one process; the data split and order too (all batches are of an even size)."""
    np.savez(tmp_path / "states.npz", **states())
    script = tmp_path / "run.py"
    script.write_text(
        "from scorefield.core.fitting import fit\nfrom tests.core.test_fitting import CONFIG\n"
        "if __name__ == '__main__':\n"
        "    fit(CONFIG, 'states.npz', 'run', max_epochs=2, devices=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for two, one in zip(rows(tmp_path / "run"), rows(trained)[:2], strict=True):
        for name in ("train_loss", "train_loss_x", "train_loss_adj", "norm_x", "norm_adj"):
            assert two[name] == pytest.approx(one[name], rel=1e-5)
    first, second = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", trained))
    assert torch.equal(first["raw.network.x.unused.weight"], second["raw.network.x.unused.weight"])


def test_an_interrupted_run_can_be_sampled_from_and_resumed(tmp_path):
    np.savez(tmp_path / "states.npz", **states())
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal\nfrom lightning.pytorch import Callback\nfrom scorefield.core import fitting\n"
        "from tests.core.test_fitting import CONFIG\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        "class Stop(Callback):\n"
        "    def on_train_batch_end(self, trainer, *rest):\n"
        "        if trainer.global_step == 6:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "listed = fitting.checkpoint_callbacks\n"
        "fitting.checkpoint_callbacks = lambda folder: [Stop(), *listed(folder)]\n"
        "fitting.fit(CONFIG, 'states.npz', 'run', max_epochs=50)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode != 0
    run = tmp_path / "run"
    assert (run / "model.json").is_file()
    assert load_file(run / "model.safetensors")
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert checked_resume(run) == run


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"no longer finite in epoch 0; lower model.lr"):
        fit(CONFIG, states(), tmp_path / "run", lr=1e30)
    assert not (tmp_path / "run").exists()


def test_processes_stop_together_when_one_diverges():
    """A process whose own loss is finite stops too; raising alone would leave the others waiting."""
    asked = []
    strategy = SimpleNamespace(reduce_boolean_decision=lambda finite, all: asked.append((finite, all)))
    module = ScoreModule(Tiny())
    module._trainer = SimpleNamespace(strategy=strategy, current_epoch=3)
    with pytest.raises(InputError, match="no longer finite in epoch 3"):
        module.on_train_epoch_end()
    assert asked == [(True, True)]


def sampler(**values) -> dict:
    settings = {"class_path": "scorefield.core.settings.SamplerSettings", "init_args": values}
    system = {"class_path": "tests.core.test_fitting.Sampled", "init_args": {"sampling": settings}}
    return {**CONFIG, "model": {"system": system}}


class Sampled(Tiny):
    """A recipe with a default sampler."""

    def __init__(self, sampling: SamplerSettings) -> None:
        super().__init__()
        self.sampling = sampling


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"solver": "nosuch", "steps": 5}, r"model\.system\.sampling: unknown solver 'nosuch'; known: "),
        ({"solver": "ddim", "steps": 0}, r"model\.system\.sampling: .*steps"),
        ({"solver": "ddim", "steps": 5, "arguments": {"snrr": 1}}, "has no argument 'snrr'"),
    ],
)
def test_a_wrong_sampler_is_found_before_the_training(tmp_path, values, words):
    with pytest.raises(InputError, match=words):
        fit(sampler(**values), states(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gradients_are_clipped_in_one_place_only(tmp_path):
    with pytest.raises(InputError, match=r"set model\.clip"):
        fit(CONFIG, states(), tmp_path / "run", gradient_clip_val=1.0)
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(InputError, match="not empty"):
        fit(CONFIG, states(), tmp_path)


def test_folders_that_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="no such run folder"):
        checked_resume(tmp_path / "none")
    with pytest.raises(InputError, match="not a run"):
        checked_resume(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match="before its first epoch"):
        checked_resume(tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path):
    np.savez(tmp_path / "states.npz", **states())
    folder = fit(CONFIG, tmp_path / "states.npz", tmp_path / "run", max_epochs=1)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    experiment = Experiment.from_dict(read_experiment(folder / "config.yaml")).overridden({"max_epochs": 2})
    with pytest.raises(InputError, match=r"last\.ckpt: damaged"):
        train(experiment, name="run", resume=folder)
    assert (folder / "model.json").is_file()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_trains_as_the_cpu_does(trained, tmp_path, precision):
    folder = fit(CONFIG, states(), tmp_path / "run", max_epochs=4, accelerator="gpu", precision=precision)
    tolerance = 1e-3 if precision == "32-true" else 0.05
    for gpu, cpu in zip(rows(folder), rows(trained), strict=True):
        assert gpu["val_loss"] == pytest.approx(cpu["val_loss"], rel=tolerance)
