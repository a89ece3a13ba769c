"""Tables, JSON and reports of a comparison made by hand."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.core.report.figures import Distribution, distributions_svg
from scorefield.core.report.page import report_html, write_report
from scorefield.core.statistics.table import Comparison, Figure, Row, short, write_json

FIELDS = ["name", "value", "low", "high", "floor", "p_value", "n_real", "n_generated"]


@pytest.fixture
def comparison() -> Comparison:
    rows = (
        Row("fcd", 1.25, 1.0, 1.5, 0.5, 0.005, 100, 50, "a <distance>", "lower"),
        Row("valid_ref", None, note="the file does not say"),
        Row("odd", float("nan"), n_generated=3),
    )
    svg = distributions_svg([Distribution("QED", np.linspace(0, 1, 50), np.linspace(0, 2, 30))])
    return Comparison("graphs", "real.smi", "out/a.smi", rows, (Figure("QED & more", svg, wide=True),), ("a note",))


def test_json_has_the_fields_of_the_format(comparison, tmp_path):
    comparison.to_json(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content) == ["domain", "real", "generated", "statistics"]
    assert [list(entry) for entry in content["statistics"]] == [FIELDS] * 3
    assert content["statistics"][1]["value"] is None
    assert content["statistics"][2]["value"] is None
    write_json([comparison, comparison], tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == [content, content]


def test_frame_and_lookup(comparison):
    assert comparison.to_frame().loc["fcd", "floor"] == 0.5
    assert comparison["fcd"].n_generated == 50
    with pytest.raises(KeyError):
        comparison["nothing"]


def test_text_table(comparison):
    text = str(comparison)
    assert re.search(r"fcd +1\.25 +1\.00 … 1\.50 +0\.500 +0\.00500 +100 +50 +lower is better", text)
    assert "note: a note" in text
    assert "note: valid_ref: the file does not say" in text


def test_short_numbers():
    assert [short(x) for x in (None, 0.0, 12, 1234.5, 0.01234, 1.2e-6)] == [
        "–",
        "0",
        "12",
        "1234",
        "0.0123",
        "1.20e-06",
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_report_needs_nothing_else(comparison, tmp_path, number):
    write_report([comparison] * number, tmp_path / "deep" / "report.html")
    text = (tmp_path / "deep" / "report.html").read_text()
    assert text == report_html([comparison] * number)
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "a &lt;distance&gt;" in text
    assert text.count("data:image/svg+xml;base64,") == number


def test_report_into_a_file_that_cannot_be_is_an_input_error(comparison, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        comparison.to_html(tmp_path / "file" / "report.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_bars_and_a_constant_are_drawn():
    panels = [
        Distribution("rings", np.array([0.0, 1, 2]), np.array([1.0, 1])),
        Distribution("c", np.ones(3), np.ones(3)),
    ]
    assert distributions_svg(panels) == distributions_svg(panels)
    panels = [Distribution("constant", np.full(3, 0.5), np.array([0.1, 0.2, 0.25]))]
    assert "<svg" in distributions_svg(panels)


def test_so_few_objects_that_half_of_them_have_no_variance_give_no_floor():
    from scorefield.core.statistics.frechet import Frechet
    from scorefield.core.statistics.statistic import Statistic
    from scorefield.core.statistics.uncertainty import Resampling

    features = np.random.default_rng(0).normal(size=(6, 3))
    statistic = Statistic("fcd", "", lambda rows: rows, Frechet())
    row = statistic.row(features[:3], features[3:], Resampling(permutations=0, bootstrap=0, floors=3), 0)
    assert row.floor is None
    assert np.isfinite(row.value)
