"""The comparison of series from files, arrays and the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from scorefield.core.cli.main import main
from scorefield.core.comparison import compare
from scorefield.core.errors import InputError
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.sources import sines
from scorefield.domains.series.statistics import SeriesPopulation, compare_series
from scorefield.domains.series.statistics.catalogue import CATALOGUE
from scorefield.domains.series.statistics.population import table_of
from scorefield.domains.series.tables import read_table

QUICK = Resampling(permutations=19, bootstrap=20, floors=2)
FAST = ["vds", "vds_exact", "fdds", "fdds_unbiased", "acf", "correlational", "correlational_table", "memorisation"]
NAMES = ("a", "b", "c")


def walk(seed: int, rows: int = 60) -> np.ndarray:
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(rows, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1]])
    return 100 + steps.cumsum(0)


def windows(table: np.ndarray, length: int = 12) -> np.ndarray:
    return np.stack([table[k : k + length] for k in range(len(table) - length + 1)])


@pytest.fixture
def files(tmp_path):
    pd.DataFrame(walk(1), columns=list(NAMES)).to_csv(tmp_path / "real.csv", index=False)
    SeriesSamples(windows(walk(1)) * 1.001, NAMES).save(tmp_path / "gen.npz")
    SeriesSamples(windows(walk(1))[::2] + 0.1, NAMES).save(tmp_path / "half.csv")
    return tmp_path


def test_a_table_is_cut_to_the_generated_length(files):
    found = compare(files / "real.csv", files / "gen.npz", resampling=QUICK, only=FAST, figures=False)
    assert found.domain == "series"
    assert [row.name for row in found.rows] == FAST
    assert found.facts["real windows"] == "49 (stride 1 from 60 rows in 1 series)"
    assert found.facts["protocol"] == "49 of each compared, 12 steps, 3 features"
    assert "[0, 1]" in found.facts["scale"]
    assert found["fdds"].value < 1e-4
    assert found["fdds"].n_real == found["fdds"].n_generated == 49
    assert any("overlap" in note for note in found.notes)
    assert found["memorisation"].value is None
    by_array = compare_series(
        windows(walk(1)), windows(walk(1)) * 1.001, resampling=QUICK, only=["fdds"], figures=False
    )
    assert by_array["fdds"].value == pytest.approx(found["fdds"].value, abs=1e-9)
    assert not any("overlap" in note for note in by_array.notes)


def test_dates_of_the_table_are_passed_over(files):
    table = pd.read_csv(files / "real.csv")
    table.insert(0, "date", pd.date_range("2024-01-01", periods=len(table)))
    table.to_csv(files / "dated.csv", index=False)
    found, dated = (
        compare(files / name, files / "gen.npz", resampling=QUICK, only=["fdds"], figures=False)["fdds"].value
        for name in ("real.csv", "dated.csv")
    )
    assert found == dated


def test_fewer_generated_cut_both_and_it_is_said(files):
    found = compare(files / "real.csv", files / "half.csv", resampling=QUICK, only=["fdds"], figures=False)
    assert found["fdds"].n_real == found["fdds"].n_generated == 25
    assert "25 generated windows, 49 real: 25 of the real ones are compared, chosen at random" in found.notes
    more = compare_series(windows(walk(1))[:20], windows(walk(1)), resampling=QUICK, only=["fdds"], figures=False)
    assert "49 generated windows, 20 real: the first 20 generated are compared" in more.notes


def test_columns_are_matched_by_name(files):
    turned = SeriesSamples(windows(walk(1))[:, :, [2, 0, 1]], ("c", "a", "b"))
    found = compare(files / "real.csv", turned, resampling=QUICK, only=["fdds", "vds_exact"], figures=False)
    assert found["fdds"].value == pytest.approx(0, abs=1e-9)
    assert found["vds_exact"].value == pytest.approx(0, abs=1e-9)


def test_training_windows_give_the_memorisation_ratio():
    train, held, fresh = (sines(120, 10, 2, seed) for seed in (1, 2, 3))
    found = compare_series(held, fresh, train, resampling=QUICK, only=["memorisation"], figures=False)
    assert 0.6 < found["memorisation"].value < 1.6
    copies = compare_series(held, train + 1e-4, train, resampling=QUICK, only=["memorisation"], figures=False)
    assert copies["memorisation"].value < 0.1
    itself = compare_series(train, fresh, train, resampling=QUICK, only=["memorisation"], figures=False)
    assert itself["memorisation"].value is None
    assert "held out" in itself["memorisation"].note


def test_one_column_has_no_pairs_but_the_rest():
    one, two = sines(40, 10, 1, 1), sines(40, 10, 1, 2)
    found = compare_series(one, two, resampling=QUICK, only=FAST, figures=False)
    assert found["fdds"].value is None
    assert "two columns" in found["fdds"].note
    assert found["vds"].value > 0
    assert found["acf"].value > 0


def test_a_constant_column_is_named():
    x, y = sines(30, 8, 2, 1), sines(30, 8, 2, 2)
    x[:, :, 1] = y[:, :, 1] = 5.0
    found = compare_series(x, y, resampling=QUICK, only=FAST, figures=False)
    assert "constant in real: x1" in found.notes
    assert found["fdds"].value == pytest.approx(0, abs=1e-12)
    assert np.isfinite(found["correlational"].value)


def test_features_shuffled_across_windows_are_seen(shared_dir):
    stocks = SeriesPopulation(read_table(shared_dir / "data/series_pad_ts/stock_data.csv"))
    real = stocks.scored(24, 400, stocks.scaling, 0).x
    generator = np.random.default_rng(0)
    shuffled = np.stack([real[generator.permutation(400), :, k] for k in range(6)], -1)
    found = compare_series(real, shuffled, resampling=QUICK, only=["fdds", "vds_exact"], figures=False)
    assert found["fdds"].value > 3
    assert found["fdds"].p_value == pytest.approx(0.05)
    assert found["vds_exact"].value == pytest.approx(0, abs=1e-9)


def test_the_command_writes_everything_twice_the_same(files, capsys):
    out, report = files / "c.json", files / "c.html"
    arguments = ["compare", str(files / "real.csv"), str(files / "gen.npz"), "--statistics", "vds,fdds,acf"]
    arguments += ["--json", str(out), "--report", str(report), "--permutations", "9", "--seed", "3"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "note: not asked for: vds_exact" in printed
    content = json.loads(out.read_text())
    assert [entry["name"] for entry in content["statistics"]] == ["vds", "fdds", "acf"]
    text = report.read_text()
    assert text.count("data:image/svg+xml") == 4
    assert text.count("data:image/png") == 2
    first = out.read_bytes(), report.read_bytes()
    assert main(arguments) == 0
    assert (out.read_bytes(), report.read_bytes()) == first


def test_a_long_statistic_is_quick_on_little(files, monkeypatch):
    from scorefield.domains.series.statistics import catalogue
    from scorefield.domains.series.statistics.discriminative import Discriminator
    from scorefield.domains.series.statistics.encoder import EncoderTraining
    from scorefield.domains.series.statistics.predictive import Predictor

    quick = {
        "ds": catalogue._discriminative("ds", Discriminator(steps=3)),
        "ds_auc": catalogue._discriminative("ds", Discriminator(steps=3), True),
        "ps": catalogue._predictive(Predictor(steps=3)),
    }
    entries = [
        catalogue.replace(entry, compute=quick[entry.name]) if entry.name in quick else entry for entry in CATALOGUE
    ]
    monkeypatch.setattr("scorefield.domains.series.statistics.comparing.CATALOGUE", tuple(entries))
    real = "scorefield.domains.series.statistics.population.train_encoder"
    from scorefield.domains.series.statistics.encoder import train_encoder

    monkeypatch.setattr(real, lambda x, seed, **k: train_encoder(x, seed, EncoderTraining(iterations=2)))
    report = files / "r.html"
    only = ["ds", "ds_auc", "ps", "context_fid"]
    found = compare(files / "real.csv", files / "gen.npz", resampling=QUICK, only=only, figures=False)
    for row in found.rows:
        assert row.low <= row.value <= row.high
        assert row.floor is not None
    assert "of the real" in found["ds"].note
    assert "not comparable" in found["context_fid"].note
    found.to_html(report)
    assert (files / "r.encoder.safetensors").stat().st_size > 1e6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["real.csv", "gone.npz"], ["gone.npz", "no such file"]),
        (["real.csv", "long.npz"], ["real.csv", "60 steps", "80"]),
        (["gen.npz", "other.npz"], ["gen.npz", "windows of 12 steps, the generated have 9"]),
        (["real.csv", "wide.npz"], ["wide.npz", "4 columns, 3 in"]),
        (["real.csv", "named.npz"], ["named.npz", "column 'z'", "is not in"]),
        (["real.csv", "scaled.npz"], ["scaled.npz", "column 'b' spans", "same units"]),
        (["real.csv", "far.npz"], ["far.npz", "column 'b' spans", "same units"]),
        (["real.csv", "few.npz"], ["few.npz", "2 windows of 12 steps", "at least 5"]),
        (["real.csv", "uneven.csv"], ["uneven.csv", "3 to 4 steps", "one length"]),
        (["real.csv", "nan.csv"], ["nan.csv", "row 2", "'b'"]),
        (["real.csv", "gen.npz", "--statistics", "fds"], ["unknown statistic 'fds'", "did you mean"]),
        (["real.csv", "gen.npz", "--statistics", "fdds,,ds"], ["--statistics", "names no statistic"]),
        (["real.csv", "gen.npz", "--train", "short.csv"], ["training series shorter than 12 steps"]),
    ],
)
def test_bad_input_is_one_line(files, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(files)
    x = windows(walk(1))
    for name, value, columns in (
        ("long", windows(walk(1, 90), 80), NAMES),
        ("other", windows(walk(1), 9), NAMES),
        ("wide", np.concatenate([x, x[:, :, :1]], 2), ("a", "b", "c", "d")),
        ("named", x, ("a", "b", "z")),
        ("scaled", (x - 100) / 50, NAMES),
        ("far", x + np.array([0, 1000, 0]), NAMES),
        ("few", x[:2], NAMES),
    ):
        SeriesSamples(value, columns).save(files / f"{name}.npz")
    (files / "uneven.csv").write_text(
        "sample,step,a,b,c\n" + "0,0,1,2,3\n0,1,1,2,3\n0,2,1,2,3\n" * 1 + "".join(f"1,{k},1,2,3\n" for k in range(4))
    )
    (files / "nan.csv").write_text("a,b,c\n1,2,3\n1,,3\n")
    (files / "short.csv").write_text("a,b,c\n1,2,3\n3,4,3\n")
    assert main(["compare", *arguments, "--json", "out.json", "--permutations", "0"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert not (files / "out.json").exists()


def test_scaled_values_within_a_wide_range_are_seen_too():
    real = windows(walk(1)) * np.array([100, 1, 1]) - np.array([9000, 90, 90])
    scaled = SeriesPopulation(table_of(real)).scaling.unit(real)
    with pytest.raises(InputError, match="same units"):
        compare_series(real, scaled, resampling=QUICK, only=["vds"], figures=False)


def test_files_tell_their_domain(files):
    (files / "m.csv").write_text("SMILES,id\nCCO,1\n")
    from scorefield.domains.graphs import GraphDomain
    from scorefield.domains.series import SeriesDomain

    for name, series in (("real.csv", True), ("gen.npz", True), ("m.csv", False), ("a.smi", False)):
        assert SeriesDomain().recognises(files / name) is series
        assert GraphDomain().recognises(files / name) is (not series)


def test_samples_tell_their_domain():
    made = SeriesSamples(windows(walk(1)), NAMES)
    found = compare(windows(walk(1)), made, resampling=QUICK, only=["vds_exact"], figures=False)
    assert found.domain == "series"


def test_arrays_need_three_axes_and_numbers():
    with pytest.raises(InputError, match="shape"):
        compare_series(np.zeros((3, 4)), np.zeros((3, 4)))
    broken = sines(10, 6, 2, 1)
    broken[3, 2, 1] = np.nan
    with pytest.raises(InputError, match="series 3, step 2, column 'x1'"):
        compare_series(sines(10, 6, 2, 1), broken)


def test_real_windows_are_kept_for_the_next_comparison(files):
    real = SeriesPopulation(read_table(files / "real.csv"))
    first = real.scored(12, 49, real.scaling, 0)
    assert real.scored(12, 49, real.scaling, 0) is first
    assert first.correlations is first.correlations


def a_run(folder, data, low=0.0, high=1.0):
    model = {"format": 1, "domain": "series", "system": {}, "sizes": {"length": 10, "features": 2}, "sampling": {}}
    model |= {"tables": {"kind": "series", "columns": ["x0", "x1"], "low": [low] * 2, "high": [high] * 2}, "data": data}
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(model))


def test_a_run_brings_its_windows_and_its_scale(tmp_path, capsys):
    arguments = {"window": 10, "features": 2, "number": 80, "split": "contiguous", "proportion": 0.5, "batch_size": 8}
    data = {"class_path": "scorefield.domains.series.data.SinesData", "init_args": arguments}
    a_run(tmp_path / "run", data)
    a_run(tmp_path / "wide", data, high=2.0)
    generated = sines(40, 10, 2, 9)
    only = ["vds_exact", "memorisation"]
    found, wide = (
        compare(tmp_path / name, generated, resampling=QUICK, only=only, figures=False) for name in ("run", "wide")
    )
    assert found["vds_exact"].n_real == 40
    assert found["memorisation"].value > 0.3
    assert wide["vds_exact"].value < found["vds_exact"].value
    a_run(tmp_path / "paper", {**data, "init_args": {**arguments, "split": "paper", "proportion": 1.0}})
    same = compare(tmp_path / "paper", generated, resampling=QUICK, only=only, figures=False)
    assert same["memorisation"].value is None
    a_run(tmp_path / "bare", None)
    SeriesSamples(generated, ("x0", "x1")).save(tmp_path / "gen.npz")
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "bare"), str(tmp_path / "gen.npz")]) == 2
    assert "which data it was trained on" in capsys.readouterr().err


@pytest.mark.parametrize(("stride", "overlap"), [(1, True), (10, False)])
def test_overlapping_windows_of_a_run_are_told(tmp_path, stride, overlap):
    pd.DataFrame(walk(1, 90)[:, :2], columns=["x0", "x1"]).to_csv(tmp_path / "own.csv", index=False)
    arguments = {"path": str(tmp_path / "own.csv"), "window": 10, "stride": stride, "batch_size": 2}
    data = {"class_path": "scorefield.domains.series.data.SeriesData", "init_args": arguments}
    a_run(tmp_path / "run", data, low=90.0, high=120.0)
    generated = windows(walk(1, 90)[:, :2], 10)
    found = compare(tmp_path / "run", generated, resampling=QUICK, only=["fdds"], figures=False)
    assert any("overlap" in note for note in found.notes) == overlap


def test_every_statistic_is_listed(capsys):
    assert main(["list", "statistics"]) == 0
    printed = capsys.readouterr().out
    assert all(entry.name in printed for entry in CATALOGUE)
