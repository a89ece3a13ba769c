"""What `compare` says of windows of a panel: shapes, and forecasters trained on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.recurrent_forecaster import Training
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.statistics import compare_series
from scorefield.domains.series.statistics.panel import PanelPair, PanelTest, shaped, shapes
from scorefield.domains.series.statistics.panel_statistics import matched_distance
from scorefield.domains.series.statistics.population import SeriesPopulation, table_of
from scorefield.domains.series.statistics.tstr import tstr_score
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panels import Panel
from tests.series.small_panels import panel_run

QUICK = Resampling(permutations=19, bootstrap=19)


def waves(number: int, length: int, seed: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    phase, size = draw.uniform(0, 6, (number, 1)), draw.uniform(1, 1000, (number, 1))
    noise = draw.normal(0, 0.05, (number, length))
    return np.asarray(size * (2 + np.sin((np.arange(length) + phase) * np.pi / 3) + noise))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 40 series of which the last 4 values are the test set."""
    series = list(waves(40, 40, 0))
    names = [f"s{k}" for k in range(40)]
    panel = Panel.of(series, names, [np.datetime64("2024-01-01")] * 40, Frequency.parse("h"))
    return panel_run(tmp_path, panel)


def made_up(path: Path, x: NDArray[np.float64]) -> Path:
    SeriesSamples(x[..., None], ("target",)).save(path)
    return path


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = made_up(tmp_path / "good.npz", waves(60, 16, 1))
    bad = made_up(tmp_path / "bad.npz", np.random.default_rng(2).lognormal(size=(60, 16)))
    out = tmp_path / "c.json"
    chosen = ["--statistics", "vds,acf,w2,lps", "--permutations", "9", "--json", str(out)]
    assert main(["compare", str(run), str(good), str(bad), *chosen]) == 0
    printed = capsys.readouterr().out
    assert "not asked for" in printed
    assert "fdds" not in printed
    one, other = ({row["name"]: row for row in part["statistics"]} for part in json.loads(out.read_text()))
    assert list(one) == ["vds", "acf", "w2", "lps"]
    assert one["vds"]["value"] < 0.3 * other["vds"]["value"]
    assert one["w2"]["value"] < 1.5 * one["w2"]["floor"] < other["w2"]["value"]
    assert one["lps"]["value"] < 1.3 * one["lps"]["floor"] < 0.5 * other["lps"]["value"]
    assert one["lps"]["n_real"] == 40


def test_scales_do_not_matter(run: Path) -> None:
    from scorefield.core.comparison import compare

    x = waves(60, 16, 1)
    found = [
        compare(run, SeriesSamples(part[..., None], ("target",)), resampling=QUICK, only=["vds", "lps"], figures=False)
        for part in (x, 1e4 * x)
    ]
    for name in ("vds", "lps"):
        assert found[0][name].value == pytest.approx(found[1][name].value, rel=1e-3)


def test_what_it_refuses(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = made_up(tmp_path / "short.npz", waves(60, 15, 1))
    assert main(["compare", str(run), str(short)]) == 2
    assert "short.npz: series of 15 steps with 1 columns; the run's windows have 16 steps" in capsys.readouterr().err
    assert main(["compare", str(short), str(short), "--statistics", "lps"]) == 2
    assert "lps is a statistic of runs of panels; give the run" in capsys.readouterr().err


def test_windows_without_a_size_are_left_out() -> None:
    x = waves(20, 16, 0)
    x[3, :12] = 0
    assert len(shapes(x, 12)) == 19
    np.testing.assert_allclose(np.abs(shapes(x, 12)[:, :12]).mean(1), 1)
    test = PanelTest(12, 6, tuple(x[:, :12]), x[:, 12:], np.arange(20))
    real = shaped(SeriesPopulation(table_of(x[..., None])), test, "real")
    assert shaped(real, test, "again") is real
    found = compare_series(real, waves(19, 16, 1)[..., None], resampling=QUICK, only=["vds"], figures=False)
    assert any("1 of 20 windows with a context of zeros" in note for note in found.notes)
    with pytest.raises(InputError, match="all windows have a context of zeros"):
        shapes(np.zeros((3, 16)), 12)


def test_matched_distance() -> None:
    x = np.random.default_rng(0).normal(size=(30, 5))
    assert matched_distance(x, x[::-1]) == 0
    assert matched_distance(x, x + 3) == pytest.approx(3)


def test_tstr_tells_good_windows_from_bad_ones() -> None:
    test, training = waves(30, 16, 5), Training(steps=120, batch=32, width=16)
    histories, truth = [row[:12] for row in test], test[:, 12:]
    bad = np.random.default_rng(2).lognormal(size=(200, 16))
    scores = [
        tstr_score(windows, histories, truth, 12, 6, training=training, paths=20)["crps"]
        for windows in (waves(200, 16, 1), bad)
    ]
    assert scores[0] < 0.4 * scores[1]
    with pytest.raises(InputError, match=r"windows of 12 \+ 4 steps"):
        tstr_score(waves(5, 15, 0), histories, truth, 12)
    with pytest.raises(InputError, match="11 values before forecast 0"):
        tstr_score(waves(5, 16, 0), [row[:11] for row in test], truth, 12)
    assert PanelPair(PanelTest(12, 6, (), test, np.arange(0)), test).real is None
