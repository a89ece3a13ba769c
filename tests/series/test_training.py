"""Training series: a short run end to end, the same in two processes, samples that the seed alone decides."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.core.cli.main import main
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.experiment import Experiment, read_experiment
from scorefield.core.fitting import train
from scorefield.core.model import Model
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.population import Autocorrelations, PopulationTerm, ValueQuantiles, WindowCorrelations
from scorefield.core.state import State
from scorefield.domains.series.pad_ts.recipe import PaDTS
from scorefield.domains.series.samples import SeriesSamples

ROOT = Path(__file__).parents[2]
TERM = "scorefield.core.population.PopulationTerm"
FEATURE = "scorefield.core.population.WindowCorrelations"


def configuration(**changes: Any) -> dict[str, Any]:
    """Sines, H = 32, T = 50, batches of 64."""
    terms = [{"class_path": TERM, "init_args": {"feature": {"class_path": FEATURE}, "weight": 0.0005}}]
    objective = {"reduction": "mean", "weighting": "data", "times": "shared", "population": terms}
    tree: dict[str, Any] = {
        "model": {
            "system": {
                "class_path": "scorefield.domains.series.pad_ts.recipe.PaDTS",
                "init_args": {"width": 32, "num_steps": 50},
            },
            "objective": {
                "class_path": "scorefield.core.objectives.DenoisingScoreMatching",
                "init_args": objective,
            },
            "lr": 0.002,
            "lr_schedule": "linear",
        },
        "data": {"class_path": "scorefield.domains.series.data.SinesData", "init_args": {"number": 3200}},
        "trainer": {"max_epochs": 10, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False},
    }
    for key, value in changes.items():
        part, _, name = key.partition("_")
        place = tree[part] if part == "trainer" else tree["data"]["init_args"]
        place[name] = value
    return tree


def fitted(folder: Path, **changes: Any) -> Path:
    return train(Experiment.from_dict(configuration(**changes)), name="run", out=folder)


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 steps."""
    return fitted(tmp_path_factory.mktemp("runs") / "short")


def test_a_short_training_learns_sines(run: Path) -> None:
    table = rows(run)
    assert table[-1]["step"] == 499
    assert table[-1]["val_loss_x"] < 0.5 * table[0]["val_loss_x"]
    assert table[-1]["val_loss_x"] < 0.03
    model = Model(run)
    state = model.sample(256, decode=False)["x"]
    assert bool(state.isfinite().all())
    assert float(state.abs().max()) <= 1
    made = model.sample(256)
    assert isinstance(made, SeriesSamples)
    assert made.x.shape == (256, 24, 5)
    assert made.x.min() >= 0
    assert made.x.max() <= 1
    assert abs(float(made.x.mean()) - 0.78) < 0.08  # the mean of sines of at most 2.4 radians


def test_what_a_run_holds(run: Path) -> None:
    record = json.loads((run / "model.json").read_text())
    assert record["domain"] == "series"
    assert record["sizes"] == {"length": 24, "features": 5}
    assert record["tables"]["kind"] == "series"
    assert record["tables"]["columns"] == ["x0", "x1", "x2", "x3", "x4"]
    assert record["sampling"]["solver"] == "dpmpp-2m"
    assert not [name for name in Model(run).system().state_dict() if "feature2emb.pos_emb" in name]


def test_every_parameter_takes_part() -> None:
    system = PaDTS(width=32, num_steps=50).build({"length": 8, "features": 3}).train()
    objective = DenoisingScoreMatching("mean", "data", "shared")
    state = State({"x": torch.randn(4, 8, 3)})
    draws = objective.draw(system, state, SampleStreams(4, 0))
    objective.total(objective.losses(system, state, draws)).backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in system.parameters())


def test_the_same_seed_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    again = fitted(tmp_path / "again", trainer_max_epochs=1)
    once = fitted(tmp_path / "once", trainer_max_epochs=1)
    assert (again / "model.safetensors").read_bytes() == (once / "model.safetensors").read_bytes()
    for name in ("a.npz", "b.npz"):
        assert main(["sample", str(run), "--num", "40", "--chunk-size", "16", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    made = SeriesSamples.load(tmp_path / "a.npz")
    assert len(made) == 40
    np.testing.assert_array_equal(Model(run).sample(40, chunk_size=16).x, made.x)
    np.testing.assert_array_equal(Model(run).sample(16, chunk_size=16).x, made.x[:16])


@pytest.mark.parametrize("solver", ["ddpm", "ddim", "dpmpp-3m", "unipc", "heun", "dpmpp-2m-sde"])
def test_every_solver_of_the_core_samples(run: Path, solver: str) -> None:
    made = Model(run).sample(64, solver=solver, steps=12, final="denoise", decode=False)["x"]
    assert bool(made.isfinite().all())
    assert float(made.abs().max()) <= 1


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Replayed draws: dropout, times, noise; the population term looks at the windows of both."""
    tree = configuration(trainer_max_epochs=2, data_number=256)
    tree["model"]["lr"] = 1e-4  # as published; Adam makes steps of rounding where a gradient is 0
    one = train(Experiment.from_dict(tree), name="run", out=tmp_path / "one")
    script = tmp_path / "run.py"
    script.write_text(
        "from pathlib import Path\nfrom scorefield.core.experiment import Experiment\n"
        "from scorefield.core.fitting import train\nfrom tests.series.test_training import configuration\n"
        "if __name__ == '__main__':\n"
        "    tree = configuration(trainer_max_epochs=2, data_number=256, trainer_devices=2)\n"
        "    tree['model']['lr'] = 1e-4\n"
        "    train(Experiment.from_dict(tree), name='run', out=Path('two'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for two, alone in zip(rows(tmp_path / "two"), rows(one), strict=True):
        assert two["train_loss_population_window_correlations"] > 0
        for name, value in alone.items():
            # Validation looks at weights that many steps of rounding have moved apart.
            assert two[name] == pytest.approx(value, rel=1e-5 if "train" in name else 1e-4), name


def batch_losses(objective: DenoisingScoreMatching, features: int = 3) -> tuple[dict[str, torch.Tensor], Any]:
    system = PaDTS(width=16, num_steps=50).build({"length": 12, "features": features})
    state = State({"x": torch.rand(8, 12, features) * 2 - 1})
    draws = objective.draw(system, state, SampleStreams(8, 1))
    return objective.losses(system, state, draws), draws


def test_one_time_is_shared_and_on_the_chain() -> None:
    system = PaDTS(width=16, num_steps=50).build({"length": 12, "features": 3})
    state = State({"x": torch.zeros(6, 12, 3)})
    shared, uniform = (DenoisingScoreMatching("mean", "data", times) for times in ("shared", "uniform"))
    drawn = set()
    for step in range(400):
        t = shared.draw(system, state, SampleStreams(6, "train", step)).t
        other = shared.draw(system, state, SampleStreams(6, "train", step, rank=1, processes=2)).t
        assert len(set(t.tolist())) == 1
        assert torch.equal(t, other)
        drawn.add(round(float(t[0]) * 50, 4))
    assert drawn == set(map(float, range(1, 51)))
    t = uniform.draw(system, state, SampleStreams(6, 1)).t
    assert len(set(t.tolist())) > 1
    assert torch.equal((t * 50).round() / 50, t)


def test_terms_take_any_feature_and_are_logged_by_name() -> None:
    terms = [PopulationTerm(WindowCorrelations(), 0.1), PopulationTerm(ValueQuantiles(), 0.2)]
    terms += [PopulationTerm(Autocorrelations(), 0.3), PopulationTerm(ValueQuantiles((0.5,)), 0.4)]
    objective = DenoisingScoreMatching("mean", "data", "shared", population=terms)
    losses, _ = batch_losses(objective)
    assert list(losses) == [
        "x", "population_window_correlations", "population_value_quantiles", "population_autocorrelations",
        "population_value_quantiles_4",
    ]  # fmt: skip
    weights = (1, 0.1, 0.2, 0.3, 0.4)
    wanted = sum(weight * float(loss.detach()) for weight, loss in zip(weights, losses.values(), strict=True))
    assert float(objective.total(losses).detach()) == pytest.approx(wanted, rel=1e-6)


def test_one_feature_has_no_correlations() -> None:
    objective = DenoisingScoreMatching("mean", "data", "shared", population=[PopulationTerm(WindowCorrelations(), 1.0)])
    with pytest.warns(InputWarning, match="nothing to compare"):
        losses, _ = batch_losses(objective, features=1)
    total = objective.total(losses)
    assert bool(total.isfinite())
    assert float(total.detach()) == float(losses["x"].detach())


def test_a_generated_constant_channel_gives_a_finite_gradient() -> None:
    real = torch.rand(8, 12, 3)
    made = torch.rand(8, 12, 3)
    made[:, :, 1] = 0.3
    made.requires_grad_()
    PopulationTerm(WindowCorrelations())(real, made).backward()
    assert bool(made.grad.isfinite().all())
    assert bool(made.grad.any())
    assert not bool(made.grad[:, :, 1].any())


def test_dropout_comes_from_the_streams() -> None:
    """The global random state is not asked, and rows of two processes are those of one."""
    system = PaDTS(width=16, num_steps=50).build({"length": 12, "features": 3})
    state = State({"x": torch.zeros(64, 12, 3)})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    whole = system.network.draws(state, SampleStreams(64, 5))
    assert torch.equal(torch.get_rng_state(), before)
    half = State({"x": torch.zeros(32, 12, 3)})
    part = system.network.draws(half, SampleStreams(32, 5, rank=1, processes=2))
    for name in ("keep_time", "keep_feature"):
        assert torch.equal(whole[name][1::2], part[name])
        assert float(whole[name].float().mean()) == pytest.approx(0.9, abs=0.01)
    assert system.eval().network.draws(state, SampleStreams(64, 5)) == {}


def test_a_path_of_another_kind() -> None:
    from scorefield.core.paths import Cosine

    system = PaDTS(width=16, num_steps=50, path=Cosine()).build({"length": 12, "features": 3})
    objective = DenoisingScoreMatching("mean", "data", t_min=1e-3, t_max=0.99)
    state = State({"x": torch.rand(8, 12, 3)})
    losses = objective.losses(system, state, objective.draw(system, state, SampleStreams(8, 1)))
    assert bool(losses["x"].isfinite())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data.window=100"], r"own.csv: 60 rows, shorter than the window of 100"),
        (["--data.batch_size=64"], r"own.csv: 37 windows for training, fewer than the batch of 64; give --data.batch"),
        (["--data.window=1"], r"data: window is 1; give at least 2"),
        (["--data.stride=0"], r"data: stride is 0"),
        (["--data.proportion=0"], r"data: proportion is 0"),
        (["--data.proportion=1.5"], r"data: proportion is 1.5"),
        (["--data.group=who"], r"own.csv: unknown column 'who'"),
        (["--model.system.heads=5"], r"width 128 with 5 heads; heads must divide"),
        (["--model.system.num_steps=1"], r"num_steps is 1; a diffusion chain needs at least 2"),
        (["--model.system.dropout=1"], r"dropout is 1"),
        (["--data.path=none.csv"], r"none.csv: there is no such file"),
    ],
)
def test_bad_input_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": np.arange(60.0), "b": np.sin(np.arange(60))}).to_csv("own.csv", index=False)
    code = main(["fit", "--config", "series/csv_pad_ts", "--data.path=own.csv", "--data.batch_size=16", *options])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert re.search(words, lines[-1]), lines
    assert not Path("runs").exists()


def test_a_cell_that_is_no_number_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text("a,b\n" + "1,2\n" * 40 + "1,oops\n")
    assert main(["fit", "--config", "series/csv_pad_ts", "--data.path=own.csv"]) == 2
    assert "own.csv: row 41 (line 42), 'b': 'oops' is not a finite number" in capsys.readouterr().err


def test_a_negative_weight_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = configuration()
    tree["model"]["objective"]["init_args"]["population"][0]["init_args"]["weight"] = -1.0
    (tmp_path / "bad.yaml").write_text(json.dumps(tree))
    assert main(["fit", "--config", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "run")]) == 2
    assert "weight" in capsys.readouterr().err


def test_windows_of_another_size_are_refused(run: Path) -> None:
    for shape, words in (((2, 30, 5), "takes 24 steps and 5 features"), ((2, 24, 4), "5 features")):
        with pytest.raises(InputError, match=words):
            Model(run).score({"x": torch.zeros(shape)}, 0.5)
    with pytest.raises(InputError, match="the length that the run was trained on"):
        Model(run).sample(1, conditions={"length": 30})


def test_damaged_tables_are_named(run: Path, tmp_path: Path) -> None:
    from shutil import copytree

    for name, value in (("low", [0.0]), ("high", [-1.0] * 5), ("columns", ["a"] * 5), ("labels", "a")):
        folder = copytree(run, tmp_path / name)
        record = json.loads((folder / "model.json").read_text())
        record["tables"][name] = value
        (folder / "model.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match=rf"model\.json: tables\.{name}"):
            Model(folder)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs" / "series").glob("*_pad_ts*.yaml")))
def test_configurations_build(name: str) -> None:
    from scorefield.core.experiment import build

    tree = read_experiment(ROOT / "configs" / "series" / f"{name}.yaml")
    experiment = Experiment.from_dict(tree)
    module = build({"class_path": "scorefield.core.module.ScoreModule", "init_args": experiment.model})
    assert isinstance(module.recipe, PaDTS)
    if name.endswith("_paper"):
        assert module.ema_decay is None
        assert module.clip is None
        assert module.lr_schedule == "linear"
        assert module.recipe.sampling.steps == module.recipe.arguments["num_steps"] - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(experiment.data)
