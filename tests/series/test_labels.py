"""Classes of series: read from files, learnt, drawn or asked for, kept in what is written."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.core.cli.main import main
from scorefield.core.comparison import compare
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.experiment import Experiment
from scorefield.core.fitting import train
from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.model import Model
from scorefield.core.state import State
from scorefield.core.states_data import StatesData
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.pad_ts.recipe import PaDTS
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.series_data import SeriesData
from scorefield.domains.series.statistics.neighbours import nearest_labels
from scorefield.domains.series.tables import Layout, read_table

LENGTH = 8


def two_classes(number: int = 120, seed: int = 0) -> SeriesSamples:
    """Three quarters `up`, around 3, the others `down`, around 1; a little noise."""
    generator = np.random.default_rng(seed)
    labels = np.where(np.arange(number) % 4 == 0, "down", "up")
    x = np.where(labels == "up", 3.0, 1.0)[:, None, None] + generator.normal(size=(number, LENGTH, 2)) * 0.1
    return SeriesSamples(x, ("a", "b"), labels)


def configuration(file: Path, **system: object) -> Experiment:
    recipe = {"width": 16, "heads": 2, "decoder_layers": 1, "num_steps": 50, "dropout": 0.0, **system}
    objective = {"reduction": "mean", "weighting": "data"}
    data = {"path": str(file), "window": LENGTH, "batch_size": 30, "split": "contiguous", "proportion": 0.5}
    return Experiment.from_dict(
        {
            "model": {
                "system": {"class_path": "scorefield.domains.series.pad_ts.recipe.PaDTS", "init_args": recipe},
                "objective": {
                    "class_path": "scorefield.core.objectives.DenoisingScoreMatching",
                    "init_args": objective,
                },
                "lr": 0.005,
                "ema_decay": 0.9,
            },
            "data": {"class_path": "scorefield.domains.series.data.SeriesData", "init_args": data},
            "trainer": {"max_epochs": 60, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False},
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two classes."""
    folder = tmp_path_factory.mktemp("labels")
    two_classes().save(folder / "own.csv")
    return train(configuration(folder / "own.csv", label_dropout=0.2), name="run", out=folder / "run")


def network(classes: int = 0, **arguments: float) -> torch.nn.Module:
    sizes = {"length": LENGTH, "features": 2} | ({"classes": classes} if classes else {})
    return PaDTS(width=16, heads=2, num_steps=50, **arguments).build(sizes)  # type: ignore[arg-type]


def test_a_run_says_what_it_knows(run: Path) -> None:
    record = json.loads((run / "model.json").read_text())
    assert record["sizes"] == {"length": LENGTH, "features": 2, "classes": 2}
    assert record["tables"]["labels"] == ["down", "up"]
    assert record["tables"]["label_counts"] == [15, 45]
    assert record["tables"]["conditional"] is True


@pytest.mark.parametrize(("asked", "level"), [("up", 3), ("down", 1), ("0", 1), ("1", 3)])
def test_a_class_is_made_as_asked_and_kept_in_the_file(run: Path, tmp_path: Path, asked: str, level: float) -> None:
    file = tmp_path / "made.npz"
    assert main(["sample", str(run), "--num", "20", "--out", str(file), "--condition", f"label={asked}"]) == 0
    name = {"0": "down", "1": "up"}.get(asked, asked)
    with np.load(file) as stored:
        assert stored["label"].tolist() == [name] * 20
        apart = np.abs(stored["x"].mean((1, 2)) - level)
        assert float(apart.max()) < 1
        assert float(np.median(apart)) < 0.1
    assert json.loads((tmp_path / "made.npz.json").read_text())[f"label {name}"] == 20


def test_without_a_wish_classes_come_as_often_as_in_training(run: Path, tmp_path: Path) -> None:
    made = Model(run).sample(400)
    assert isinstance(made, SeriesSamples)
    assert float(np.mean(made.labels == "up")) == pytest.approx(0.75, abs=0.08)
    means = made.x.mean((1, 2))
    assert means[made.labels == "up"].min() > 2 > means[made.labels == "down"].max()
    made.save(tmp_path / "made.csv")
    frame = pd.read_csv(tmp_path / "made.csv")
    assert list(frame.columns) == ["sample", "step", "label", "a", "b"]
    np.testing.assert_array_equal(SeriesSamples.load(tmp_path / "made.csv").labels, made.labels)


def test_a_class_may_be_left_open(run: Path) -> None:
    made = Model(run).sample(40, conditions={"label": "any"})
    assert made.labels is None  # type: ignore[attr-defined]
    zero, other = (Model(run).sample(40, guide="condition:0", conditions={"label": name}) for name in ("up", "down"))
    np.testing.assert_allclose(zero.x, other.x, atol=1e-5)  # type: ignore[attr-defined]
    np.testing.assert_allclose(zero.x, made.x, atol=1e-5)  # type: ignore[attr-defined]


def test_guidance_strengthens_the_class_and_stays_in_the_range(run: Path) -> None:
    model = Model(run)
    plain, one, five = (
        model.sample(40, guide=guide, conditions={"label": "up"}, decode=False)["x"]
        for guide in ((), "condition:1", "condition:5")
    )
    torch.testing.assert_close(one, plain, atol=1e-5, rtol=0)
    assert float(five.mean()) > float(plain.mean())
    assert float(five.abs().max()) <= 1


def test_guidance_composes_with_potentials_and_solvers(run: Path) -> None:
    from scorefield.core.guidance import GaussianObservation, Gradient

    given = torch.full((LENGTH, 2), torch.nan)
    given[0] = 0.9
    pulled = Gradient(GaussianObservation("x", given, std=0.1))
    model = Model(run)
    made = model.sample(
        40, solver="ddpm", steps=49, final="denoise", guide=[pulled, "condition:2"], conditions={"label": "up"},
        decode=False,
    )["x"]  # fmt: skip
    alone = model.sample(40, solver="ddpm", steps=49, final="denoise", conditions={"label": "up"}, decode=False)["x"]
    assert abs(float(made[:, 0].mean()) - 0.9) < abs(float(alone[:, 0].mean()) - 0.9)


@pytest.mark.parametrize(
    ("condition", "words"),
    [("label=upp", "did you mean 'up'"), ("label=2", "unknown label '2'"), ("size=3", "series take label")],
)
def test_classes_that_are_not_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, words: str
) -> None:
    assert main(["sample", str(run), "--num", "2", "--out", str(tmp_path / "a.npz"), "--condition", condition]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert words in error


def test_without_classes_nothing_is_added(run: Path, tmp_path: Path) -> None:
    plain, labelled = network(), network(3)
    added = set(labelled.state_dict()) - set(plain.state_dict())
    assert added == {f"network.{channel}_blocks.label_emb.weight" for channel in ("time", "feature")}
    assert set(network(3, conditional=False).state_dict()) == set(plain.state_dict())
    file = run.parent / "own.csv"
    experiment = configuration(file, conditional=False).overridden({"trainer.max_epochs": 1})
    folder = train(experiment, name="run", out=tmp_path / "plain")
    assert "conditional" not in json.loads((folder / "model.json").read_text())["tables"]
    assert Model(folder).sample(3).labels is None  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"has not learnt any classes.*conditional"):
        Model(folder).sample(3, conditions={"label": "up"})
    with pytest.raises(InputError, match="needs a null condition"):
        Model(folder).sample(3, guide="condition:2")


def test_labels_left_out_come_from_the_streams() -> None:
    system = network(3, label_dropout=0.25).train()
    state = State({"x": torch.zeros(400, LENGTH, 2)}, {}, {"label": torch.arange(400) % 3})
    drawn = system.network.draws(state, SampleStreams(400, 7))["label"]
    kept = drawn != 3
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.06)
    assert torch.equal(drawn[kept], state.condition["label"][kept])
    half = state.rows(slice(1, None, 2))
    other = system.network.draws(half, SampleStreams(200, 7, rank=1, processes=2))["label"]
    assert torch.equal(other, drawn[1::2])
    assert "label" not in system.eval().network.draws(state, SampleStreams(400, 7))


def test_the_label_matters_and_the_guided_answer_is_affine() -> None:
    system = network(3).eval().requires_grad_(False)
    with torch.no_grad():
        for decoder in (system.network.time_blocks, system.network.feature_blocks):
            decoder.label_emb.weight.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
        system.network.fc_time.weight.mul_(0.1)
        system.network.fc_feature.weight.mul_(0.1)
    x, t = torch.randn(4, LENGTH, 2) * 0.1, torch.full((4,), 0.5)

    def answer(label: int, weight: float = 1.0) -> torch.Tensor:
        guided = ClassifierFree(weight).wrap(system)
        return guided(State({"x": x}, {}, {"label": torch.full((4,), label)}), t)["x"]

    assert not torch.allclose(answer(0), answer(1))
    wanted = (answer(3) + 1.5 * (answer(0) - answer(3))).clamp(-1, 1)
    torch.testing.assert_close(answer(0, 1.5), wanted)
    with pytest.raises(KeyError, match="label"):
        system(State({"x": x}), t)


def labels_of(path: Path, **layout: str) -> tuple[str, ...] | None:
    return read_table(path, Layout(**layout)).labels  # type: ignore[arg-type]


def test_labels_in_archives(tmp_path: Path) -> None:
    x, file = np.zeros((3, 4, 2)), tmp_path / "own.npz"
    for name, values in (
        ("label", np.array([2, 1, 2])),
        ("labels", np.array(["2", "1", "2"])),
        ("y", np.array([2.0, 1.0, 2.0])),
    ):
        np.savez(file, x=x, **{name: values})
        assert labels_of(file) == ("2", "1", "2")
    np.savez(file, x=x, kind=np.array(["a", "b", "a"]), y=np.zeros((3, 7, 1)))
    assert labels_of(file) is None
    assert labels_of(file, label="kind") == ("a", "b", "a")
    with pytest.raises(InputError, match=r"unknown array 'kin'.*'kind'"):
        labels_of(file, label="kin")
    np.savez(file, x=x, label=np.array([0.5, 1.0, 2.0]))
    with pytest.raises(InputError, match="numbers that are not whole"):
        labels_of(file)


def test_regimes_of_one_long_series_end_its_windows(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    regimes = ["calm"] * 20 + ["storm"] * 15 + ["calm"] * 3 + ["storm"] * 12
    pd.DataFrame({"a": np.arange(50.0), "label": regimes}).to_csv(file, index=False)
    data = SeriesData(str(file), window=LENGTH, batch_size=4)
    with pytest.warns(InputWarning, match=r"1 of 4 series are left out; the first is rows 36 to 38"):
        data.setup("fit")
    found = data.train_references()
    assert len(found) == 13 + 8 + 5
    for window, label in zip(found.x[:, :, 0].astype(int), found.labels, strict=True):
        assert {regimes[row] for row in window} == {label}
    pd.DataFrame({"a": np.arange(3.0), "label": ["a", "", "a"]}).to_csv(file, index=False)
    with pytest.raises(InputError, match=r"row 2 \(line 3\), 'label': the cell is empty"):
        read_table(file)


def sorted_file(tmp_path: Path) -> Path:
    """Ten series of `10`, then ten of `9`, then two of `rare`."""
    labels = np.array(["10"] * 10 + ["9"] * 10 + ["rare"] * 2)
    SeriesSamples(np.random.default_rng(0).random((22, LENGTH, 1)), ("a",), labels).save(tmp_path / "sorted.npz")
    return tmp_path / "sorted.npz"


def test_every_class_is_shared_out_by_itself(tmp_path: Path) -> None:
    data = SeriesData(str(sorted_file(tmp_path)), LENGTH, split="contiguous", proportion=0.6, batch_size=4)
    data.setup("fit")
    assert data.tables["labels"] == ["9", "10", "rare"]
    assert data.tables["label_counts"] == [6, 6, 2]
    assert sorted(data.test_references().labels.tolist()) == ["10"] * 4 + ["9"] * 4


def test_a_class_without_training_windows_counts_as_not_known(tmp_path: Path) -> None:
    class Plain(SeriesData):
        def split_of(self, table):  # type: ignore[no-untyped-def]
            from scorefield.domains.series.windows import contiguous_split

            return contiguous_split(table.bounds, self.window, self.stride, self.proportion)

    data = Plain(str(sorted_file(tmp_path)), LENGTH, split="contiguous", proportion=0.5, batch_size=4)
    data.setup("fit")
    assert data.tables["labels"] == ["9", "10"]
    assert data.tables["label_counts"] == [1, 10]
    labels = torch.cat([batch["label"] for batch in data.val_dataloader()])
    assert labels.bincount().tolist() == [9, 0, 2]
    assert set(data.test_references().labels) == {"9", "rare"}


def test_labels_travel_with_exported_states(tmp_path: Path) -> None:
    data = SeriesData(str(sorted_file(tmp_path)), LENGTH, split="contiguous", proportion=0.6, batch_size=4)
    states = StatesData(batch_size=4, square=[])
    states.values = data.arrays()
    states.setup("fit")
    assert states.sizes == data.sizes
    batch = next(iter(states.train_dataloader()))
    assert batch["label"].dtype == torch.int64
    assert batch["label"].shape == (4,)
    states = StatesData(square=[])
    states.values = {**data.arrays(), "label": np.zeros(3)}
    with pytest.raises(InputError, match="label: holds float64, not whole numbers"):
        states.setup("fit")


def test_nearest_labels() -> None:
    at = np.array([0.0, 1.0, 10.0, 0.1, 9.0])  # three real ones, two generated
    found = nearest_labels(np.abs(at[:, None] - at[None, :3]), np.array(["a", "a", "b"]))
    assert found.tolist() == ["a", "a", "a", "a", "b"]


def test_compare_tells_of_classes(run: Path, tmp_path: Path) -> None:
    quick = Resampling(permutations=9, bootstrap=9, floors=2)
    made = Model(run).sample(60)
    found = compare(run, made, resampling=quick, only=["label_1nn", "vds_exact"], figures=False)
    assert found.facts["classes, real"] == "down: 25%, up: 75%"
    assert found["label_1nn"].value == 1.0
    assert found["label_1nn"].floor == 1.0
    wrong = SeriesSamples(made.x, made.columns, np.where(made.labels == "up", "down", "up"))  # type: ignore[attr-defined]
    assert compare(run, wrong, resampling=quick, only=["label_1nn"], figures=False)["label_1nn"].value == 0.0
    bare = SeriesSamples(made.x[:12], made.columns)  # type: ignore[attr-defined]
    rows = compare(made.x[:12], bare.x, domain="series", resampling=quick, figures=False).rows  # type: ignore[attr-defined]
    assert "label_1nn" not in [row.name for row in rows]
    asked = compare(run, bare, resampling=quick, only=["label_1nn"], figures=False)
    assert asked["label_1nn"].value is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("labels", ["a"]), ("label_counts", [1]), ("label_counts", [0, 0]), ("label_counts", None)],
)
def test_damaged_tables_of_classes_are_named(run: Path, tmp_path: Path, key: str, value: object) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    record = json.loads((folder / "model.json").read_text())
    record["tables"][key] = value
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"model\.json: tables\.{key}"):
        Model(folder)


def test_a_trace_of_a_class() -> None:
    """The configuration that comes with the package knows the classes of its data."""
    from scorefield.core.configs import resolve_config
    from scorefield.core.experiment import build, read_experiment

    experiment = Experiment.from_dict(read_experiment(resolve_config("series/trace_pad_ts")))
    data = build(experiment.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        data.setup("fit")
    recipe = build(experiment.model["system"])
    assert recipe.tables(data.tables)["conditional"] is True
    assert recipe.build(data.sizes).network.null_condition == {"label": 4}


def test_what_is_known_decides_what_is_completed(run: Path) -> None:
    x = np.full((2, LENGTH, 2), np.nan)
    x[0, :5], x[1, :5] = 3.0, 1.0
    high, low = (answer.summary() for answer in Model(run).impute(x, num=4))
    assert high.min() > 2.5
    assert low.max() < 1.5
