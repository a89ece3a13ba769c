"""Interpolants of series: one law in training and in sampling, runs from start to end, and bad input."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from scorefield.core.checkpoints import load_system
from scorefield.core.cli.main import main
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment, build, read_experiment
from scorefield.core.fitting import fit, train
from scorefield.core.interpolants.couplings import Independent, OptimalTransport
from scorefield.core.interpolants.objectives import InterpolantMatching
from scorefield.core.interpolants.sampling import Transport
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.model import Model
from scorefield.core.noise import Seeded
from scorefield.core.population import PopulationTerm, WindowCorrelations
from scorefield.core.sampling import sample
from scorefield.core.state import State
from scorefield.domains.series.bases import BlockBootstrap
from scorefield.domains.series.pad_ts.interpolant import InterpolantPaDTS
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tsdiff.interpolant import InterpolantTSDiff
from tests.series.windows import Windows

ROOT = Path(__file__).parents[2]
CLASS = "scorefield.domains.series.bases"


# Systems


def tiny(windows: Tensor, **options: Any) -> InterpolantSystem:
    torch.manual_seed(0)
    recipe = InterpolantPaDTS(BlockBootstrap(block=4), width=16, heads=2, decoder_layers=1, **options)
    system = recipe.build({"length": windows.shape[1], "features": windows.shape[2]})
    system.prepare(Windows(windows))
    return system


def smooth(count: int = 40) -> Tensor:
    phases = torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(1)) * 6
    return 0.9 * torch.sin(torch.arange(12.0)[:, None] / 3 + phases)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InterpolantPaDTS(interpolant="liner"), "did you mean 'linear'"),
        (
            lambda: InterpolantPaDTS(interpolant="encoder-decoder", gamma="sine-squared"),
            "unknown interpolant of series",
        ),
        (lambda: InterpolantPaDTS(heads=5), "heads must divide the width"),
    ],
)
def test_what_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("coupling", [Independent(), OptimalTransport()])
def test_training_and_sampling_start_from_one_law(coupling: Any) -> None:
    """The coupling decides which x_0 meets which x_1, and leaves the law of x_0 alone."""
    system, x = tiny(smooth()), smooth()
    batches = [coupling.source(system, State({"x": x}), ["x"], SampleStreams(40, 0, k))["x"] for k in range(100)]
    trained = torch.cat(batches)
    sampled = system.prior(State({"x": torch.zeros(4000, 12, 2)}), Seeded(0))["x"]
    for moment in (lambda v: v.mean(0), lambda v: v.std(0), lambda v: (v[:, 1:] * v[:, :-1]).mean(0)):
        torch.testing.assert_close(moment(trained), moment(sampled), atol=0.06, rtol=0)


def test_two_processes_draw_what_one_does() -> None:
    system, x = tiny(smooth()), smooth()
    whole = Independent().source(system, State({"x": x}), ["x"], SampleStreams(40, 3))["x"]
    half = Independent().source(system, State({"x": x[1::2]}), ["x"], SampleStreams(20, 3, rank=1, processes=2))["x"]
    assert torch.equal(whole[1::2], half)


def test_given_source_samples_come_before_the_base() -> None:
    system, x = tiny(smooth()), smooth(5)
    frame = State({"x": torch.zeros(5, 12, 2)}, {}, {"source_x": x})
    assert torch.equal(system.prior(frame, Seeded(0))["x"], x)


@pytest.mark.parametrize("gamma", ["zero", "brownian"])
@torch.no_grad()
def test_the_loss_is_the_error_of_the_means(gamma: str) -> None:
    system, x = tiny(smooth(), gamma=gamma).eval(), smooth(6)
    terms = [PopulationTerm(WindowCorrelations(), 0.1)]
    objective = InterpolantMatching(antithetic=False, times="shared", population=terms)
    draws = objective.draw(system, State({"x": x}), SampleStreams(6, 0))
    assert len(set(draws.t.tolist())) == 1
    r = float(1 - draws.t[0])
    width = math.sqrt(r * (1 - r)) if gamma == "brownian" else 0.0
    point = (1 - r) * draws.source["x"] + r * x + width * draws.noise["x"]
    made = {f"x.{quantity}": value for quantity, value in system.quantities(State({"x": point}), draws.t)["x"].items()}
    losses = objective.losses(system, State({"x": x}), draws)
    assert float(losses["x_target"]) == pytest.approx(float((made["x.target"] - x).square().mean()), rel=1e-4)
    assert float(losses["population_window_correlations"]) == pytest.approx(
        float(terms[0](x, made["x.target"])), rel=1e-4
    )
    if gamma == "brownian":
        error = float((made["x.denoiser"] - draws.noise["x"]).square().mean())
        assert float(losses["x_denoiser"]) == pytest.approx(error, rel=1e-4)
    assert float(objective.total(losses)) == pytest.approx(
        sum(float(v) for n, v in losses.items() if n.startswith("x_"))
        + 0.1 * float(losses["population_window_correlations"]), rel=1e-5
    )  # fmt: skip


def test_every_parameter_takes_part() -> None:
    system = tiny(smooth(), gamma="brownian").train()
    objective = InterpolantMatching(antithetic=False)
    state = State({"x": smooth(8)})
    objective.total(objective.losses(system, state, objective.draw(system, state, SampleStreams(8, 0)))).backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in system.parameters())


@pytest.mark.parametrize(("gamma", "options"), [("zero", {}), ("brownian", {}), ("brownian", {"diffusion": 0.1})])
@pytest.mark.parametrize("method", ["euler", "heun"])
def test_runs_end_close_to_the_range_of_the_data(gamma: str, options: dict[str, float], method: Any) -> None:
    system = tiny(smooth(), gamma=gamma).eval()
    frame = State({"x": torch.zeros(16, 12, 2)})
    x = sample(system, frame, Transport(8, method, grid="cosine", **options), Seeded(0)).state["x"]
    assert bool(x.isfinite().all())
    assert float(x.abs().max()) <= (1 + 1e-6 if gamma == "zero" and method == "euler" else 3)


# Runs


def configuration(**changes: Any) -> dict[str, Any]:
    """300 sines, H = 16."""
    recipe = {
        "base": {"class_path": f"{CLASS}.BlockBootstrap", "init_args": {"block": 6, "pool": 100}},
        "width": 16, "heads": 2, "decoder_layers": 1, "sampling": {"solver": "transport", "steps": 6},
    }  # fmt: skip
    return {
        "model": {
            "system": {
                "class_path": "scorefield.domains.series.pad_ts.interpolant.InterpolantPaDTS",
                "init_args": {**recipe, **changes},
            },
            "objective": {
                "class_path": "scorefield.core.interpolants.objectives.InterpolantMatching",
                "init_args": {"antithetic": False, "times": "shared"},
            },
            "lr": 0.003,
        },
        "data": {
            "class_path": "scorefield.domains.series.data.SinesData",
            "init_args": {"number": 300, "window": 12, "features": 2, "batch_size": 50},
        },
        "trainer": {"max_epochs": 4, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "short"
    return train(Experiment.from_dict(configuration()), name="run", out=folder)


def test_a_run_holds_its_pool_and_samples_from_it_alone(run: Path) -> None:
    record = json.loads((run / "model.json").read_text())
    assert record["sampling"]["solver"] == "transport"
    system = load_system(run, "ema")
    assert isinstance(system, InterpolantSystem)
    assert system.base.pool.shape == (100, 12, 2)
    made = Model(run).sample(32)
    assert isinstance(made, SeriesSamples)
    assert made.x.shape == (32, 12, 2)
    assert made.x.min() >= 0
    assert made.x.max() <= 1


def test_training_lowers_the_loss(run: Path) -> None:
    table = pd.read_csv(run / "metrics.csv")
    losses = table["val_loss_x_target"].dropna()
    assert losses.iloc[-1] < 0.85 * losses.iloc[0]


def test_bytes_do_not_depend_on_interruptions_and_chunks_on_their_number_alone(run: Path, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        command = ["sample", str(run), "--num", "40", "--chunk-size", "16", "--seed", "3"]
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    made = SeriesSamples.load(tmp_path / "a.npz")
    generator = Model(run).generator(seed=3)
    for number in (2, 0, 1):
        chunk = generator.chunk(number, 8 if number == 2 else 16, torch.device("cpu")).samples
        np.testing.assert_array_equal(chunk.x, made.x[16 * number : 16 * number + len(chunk)])
    assert not np.array_equal(Model(run).sample(16, seed=4, chunk_size=16).x, made.x[:16])
    summary = json.loads((tmp_path / "a.npz.json").read_text())
    assert summary["evaluations"] == 6


def test_a_resumed_run_is_the_whole_one(tmp_path: Path) -> None:
    whole = train(Experiment.from_dict(configuration()), name="run", out=tmp_path / "whole")
    tree = configuration()
    tree["trainer"]["max_epochs"] = 2
    part = train(Experiment.from_dict(tree), name="run", out=tmp_path / "part")
    train(Experiment.from_dict(configuration()), name="run", resume=part)
    assert (part / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_states_serve_as_data(run: Path, tmp_path: Path) -> None:
    """Training on encoded windows, as on a machine that lacks the readers."""
    x = smooth(64).numpy()
    sizes = {"length": 12, "features": 2}
    tables = {"kind": "series", "columns": ["a", "b"], "low": [0.0, 0.0], "high": [1.0, 1.0]}
    states = {"x": x, "mask": np.ones((64, 12), bool), "meta": {"sizes": sizes, "tables": tables}}
    folder = fit(configuration(), states, out=tmp_path / "run", max_epochs=1, batch_size=16)
    assert len(Model(folder).sample(4)) == 4


def test_the_sde_and_its_arguments(tmp_path: Path) -> None:
    tree = configuration(
        gamma="brownian:0.2", base={"class_path": f"{CLASS}.SeasonalNaive", "init_args": {"period": 6}}
    )
    tree["trainer"]["max_epochs"] = 1
    model = Model(train(Experiment.from_dict(tree), name="run", out=tmp_path / "run"))
    plain, noisy = (model.sample(8, decode=False, diffusion=eps)["x"] for eps in (0.0, 0.05))
    assert bool(noisy.isfinite().all())
    assert not torch.equal(plain, noisy)
    assert model.score({"x": torch.zeros(2, 12, 2)}, 0.5)["x"].shape == (2, 12, 2)


def test_classes_can_be_asked_for_and_strengthened(tmp_path: Path) -> None:
    steps = np.arange(12)
    rows = [(k, t, "up" if k % 2 else "down", k % 2 + 0.1 * np.sin(t + k), 0.0 + t) for k in range(40) for t in steps]
    pd.DataFrame(rows, columns=["sample", "step", "kind", "a", "b"]).to_csv(tmp_path / "own.csv", index=False)
    tree = configuration()
    arguments = {"path": str(tmp_path / "own.csv"), "label": "kind", "window": 12, "batch_size": 40}
    tree["data"] = {"class_path": "scorefield.domains.series.data.SeriesData", "init_args": arguments}
    model = Model(train(Experiment.from_dict(tree), name="run", out=tmp_path / "run"))
    plain = model.sample(16, conditions={"label": "up"})
    assert set(plain.labels) == {"up"}
    assert not np.array_equal(plain.x, model.sample(16, conditions={"label": "down"}).x)
    same, strong = (model.sample(16, conditions={"label": "up"}, guide=f"condition:{w}").x for w in (1, 4))
    np.testing.assert_allclose(same, plain.x, atol=1e-5)
    assert np.abs(strong - plain.x).max() > 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "RUN", "--num", "4", "--out", "x.npz", "--solver", "ddim"], "sample it with the solver transport"),
        (["sample", "RUN", "--num", "4", "--out", "x.npz", "--solver-arg", "diffusion=0.1"], "gamma = 0 has no score"),
        (["sample", "RUN", "--num", "4", "--out", "x.npz", "--grid", "cosin"], "did you mean 'cosine'"),
        (["diagnose", "RUN"], "interpolant"),
    ],
)
def test_what_a_run_cannot_ends_with_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([str(run) if word == "RUN" else word for word in words]) == 2
    assert re.search(message, capsys.readouterr().err.strip().splitlines()[-1])


def test_transport_wants_an_interpolant_and_likelihoods_a_density(run: Path) -> None:
    from scorefield.domains.series.pad_ts.recipe import PaDTS

    system = PaDTS(width=16, heads=2, num_steps=50).build({"length": 12, "features": 2})
    with pytest.raises(InputError, match="transport needs a model of interpolants"):
        sample(system, State({"x": torch.zeros(2, 12, 2)}), Transport(4), Seeded(0))
    with pytest.raises(InputError, match="interpolant"):
        Model(run).log_likelihood({"x": torch.zeros(2, 12, 2)})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.system.base.block=40"], r"blocks of 40 steps in windows of 24; give at most 24"),
        (["--model.system.base.block=0"], r"block is 0"),
        (["--model.system.interpolant=liner"], r"did you mean 'linear'"),
        (["--model.system.gamma=none"], r"unknown gamma 'none'"),
    ],
)
def test_bad_input_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "series/sines_interpolant", "--data.number=70", *options]) == 2
    assert re.search(words, capsys.readouterr().err.strip().splitlines()[-1])
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs" / "series").glob("*_interpolant.yaml")))
def test_configurations_build(name: str) -> None:
    experiment = Experiment.from_dict(read_experiment(ROOT / "configs" / "series" / f"{name}.yaml"))
    module = build({"class_path": "scorefield.core.module.ScoreModule", "init_args": experiment.model})
    assert isinstance(module.recipe, InterpolantPaDTS | InterpolantTSDiff)
    assert module.recipe.sampling.solver == "transport"
