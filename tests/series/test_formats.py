"""Files of series: what is written reads back the same, and everything that is no such file is refused by name."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scorefield.core.errors import InputError
from scorefield.domains.series.samples import SeriesSamples
from scorefield.domains.series.tables import SUFFIXES, Layout, read_table

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.lists(st.text("abcXYZ_ é,\"'.0", min_size=1, max_size=6).map(str.strip), min_size=1, max_size=4, unique=True)


@st.composite
def populations(draw) -> SeriesSamples:
    columns = tuple(draw(NAMES.filter(lambda names: all(names) and not all(map(_number, names)))))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 5)), len(columns))
    x = draw(arrays(np.float64, shape, elements=FINITE))
    labels = draw(st.none() | st.just(np.array([draw(st.sampled_from(["a", "b c", "1"])) for _ in range(shape[0])])))
    return SeriesSamples(x, columns, labels)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(samples=populations(), kind=st.sampled_from(SUFFIXES))
@settings(max_examples=120)
def test_files_read_back_the_same(samples: SeriesSamples, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"series{kind}"
        samples.save(file)
        found = SeriesSamples.load(file)
    np.testing.assert_array_equal(found.x, samples.x)
    assert found.columns == samples.columns
    assert (found.labels is None) == (samples.labels is None)
    if samples.labels is not None:
        np.testing.assert_array_equal(found.labels, samples.labels)


@pytest.fixture
def samples() -> SeriesSamples:
    x = np.random.default_rng(0).normal(size=(3, 4, 2)) * 1e8
    return SeriesSamples(x, ("a", "b"), np.array(["up", "down", "up"]))


def test_parts_and_counts(samples: SeriesSamples) -> None:
    again = SeriesSamples.from_arrays(samples.arrays())
    joined = SeriesSamples.concatenate([samples[:1], again[1:]])
    np.testing.assert_array_equal(joined.x, samples.x)
    np.testing.assert_array_equal(joined.labels, samples.labels)
    assert all(array.dtype != object for array in samples.arrays().values())
    assert samples.counts() == {"series": 3, "length": 4, "features": 2, "label down": 1, "label up": 2}
    assert SeriesSamples.concatenate([samples, SeriesSamples(samples.x, samples.columns)]).labels is None
    with pytest.raises(InputError, match="different columns"):
        SeriesSamples.concatenate([samples, SeriesSamples(samples.x, ("a", "c"))])
    with pytest.raises(InputError, match="no series"):
        SeriesSamples.concatenate([])


def test_the_layouts_of_tables(samples: SeriesSamples, tmp_path: Path) -> None:
    samples.save(tmp_path / "long.csv")
    assert (tmp_path / "long.csv").read_text().splitlines()[0] == "sample,step,label,a,b"
    SeriesSamples(samples.x[:1], samples.columns).save(tmp_path / "wide.csv")
    assert (tmp_path / "wide.csv").read_text().splitlines()[0] == "a,b"
    samples.save(tmp_path / "one.csv.gz")
    samples.save(tmp_path / "two.csv.gz")
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


def test_rows_of_a_long_table_may_stand_in_any_order(samples: SeriesSamples, tmp_path: Path) -> None:
    samples.save(tmp_path / "long.csv")
    frame = pd.read_csv(tmp_path / "long.csv", dtype=str).iloc[::-1]
    frame.to_csv(tmp_path / "turned.csv", index=False)
    found = SeriesSamples.load(tmp_path / "turned.csv")
    np.testing.assert_array_equal(found.x, samples.x[::-1])
    np.testing.assert_array_equal(found.labels, samples.labels[::-1])


def test_tables_without_a_header(shared_dir: Path) -> None:
    file = shared_dir / "data" / "series_pad_ts" / "ETTh1.csv.gz"
    with pytest.raises(InputError, match=r"ETTh1.csv.gz: row 1: .*header is missing; .*--data.header=false"):
        read_table(file)
    table = read_table(file, Layout(header=False))
    assert table.values.shape == (17420, 7)
    assert table.columns[0] == "x0"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "a,b\n1,2\n3,oops\n", r"a\.csv: row 2 \(line 3\), 'b': 'oops' is not a finite number"),
        ("a.csv", "a,b\n1,2\n,3\n", r"a\.csv: row 2 \(line 3\), 'a': the cell is empty; fill"),
        ("a.csv", "a,b\n1,nan\n2,3\n", r"row 1 \(line 2\), 'b': 'nan' is not a finite number"),
        ("a.csv", "a,b\n1,2\n2,inf\n", r"row 2 \(line 3\), 'b': 'inf'"),
        ("a.csv", "a,b\n1,2\n3\n", r"row 2 \(line 3\), 'b': the cell is empty"),
        ("a.csv", "day,b\nMon,2\nTue,3\n", r"'day': 'Mon' is not.*--data\.group=day, --data\.label or --data\.time"),
        ("a.csv", "sample,step,v\n0,0,1\n,1,2\n", r"row 2 \(line 3\), 'sample': the cell is empty"),
        ("a.csv", "1,2\n3,4\n", r"a\.csv: row 1: the first line holds only numbers"),
        ("a.csv", "a,b\n1,2,3\n4,5,6\n", r"rows hold more cells than the header"),
        ("a.csv", "a,b\n1,2\n4,5,6\n", r"a\.csv: cannot be read \(.*line 3"),
        ("a.csv", "", r"a\.csv: is empty"),
        ("a.csv", "a,b\n", r"a\.csv: holds no row"),
        ("a.csv", "sample,step\n0,0\n", r"holds no column of numbers"),
        ("a.csv", "sample,step,v\n0,0,1\n0,0,2\n", r"row 2 \(line 3\), 'step': this step comes twice"),
        ("a.csv", "sample,step,label,v\n0,0,u,1\n0,1,w,2\n", r"row 2 \(line 3\), 'label': a series has two labels"),
        ("a.xlsx", "a", r"a\.xlsx: \.xlsx is no format of series; known are .npz"),
        ("a.npz", "a", r"a\.npz: is no archive of plain arrays"),
        ("a.parquet", "a", r"a\.parquet: cannot be read"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / name)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("alpha,beta\n1,2\n")
    for layout in (Layout(group="alpa"), Layout(time="alpa"), Layout(label="alpa"), Layout(columns=("alpa",))):
        with pytest.raises(InputError, match=r"a\.csv: unknown column 'alpa'; did you mean 'alpha'"):
            read_table(tmp_path / "a.csv", layout)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": np.zeros(3)}, r"x: float64 of shape \(3,\)"),
        ({"x": np.array([["a"]])}, "x: <U1"),
        ({"a": np.zeros((2, 3, 1)), "b": np.zeros((2, 2))}, "could be any of a, b; name it with --data.array"),
        ({"n": np.zeros(3)}, "holds no array of series"),
        ({"x": np.array([[[1.0], [np.inf], [2.0]]])}, r"x, series 0, row 2, 'x0': inf is not"),
        ({"x": np.zeros((2, 3, 2)), "columns": np.array(["a"])}, "columns: 1 different names for 2 features"),
        ({"x": np.zeros((2, 3, 2)), "columns": np.array(["a", "a"])}, "columns: 1 different names"),
        ({"x": np.zeros((2, 3, 2)), "label": np.array(["a"])}, r"label: has shape \(1,\) for 2 series"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, content: dict, words: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "a.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[{}]], dtype=object))
    with pytest.raises(InputError, match="no archive of plain arrays"):
        read_table(tmp_path / "a.npz")


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file of series"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    with pytest.raises(InputError, match=r"2\.csv: column 'b': is missing, unlike in 1\.csv"):
        read_table(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-12])
    with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read"):
        read_table(tmp_path / "a.csv.gz")


def test_what_a_table_cannot_hold_is_refused_before_writing(samples: SeriesSamples, tmp_path: Path) -> None:
    named = SeriesSamples(samples.x, ("step", "b"))
    with pytest.raises(InputError, match=r"a\.csv: the columns sample, step and label.*write \.npz"):
        named.save(tmp_path / "a.csv")
    named.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no format of series"):
        samples.save(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    for x, columns, labels in ((samples.x[0], ("a", "b"), None), (samples.x, ("a",), None)):
        with pytest.raises(InputError, match="give \\[series, steps, features\\]"):
            SeriesSamples(x, columns, labels)
    with pytest.raises(InputError, match="1 labels for 3 series"):
        SeriesSamples(samples.x, ("a", "b"), np.array(["u"]))


def test_series_of_different_lengths_are_no_population(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,step,v\n0,0,1\n0,1,2\n1,0,3\n")
    with pytest.raises(InputError, match=r"a\.csv: series of 1 to 2 steps"):
        SeriesSamples.load(tmp_path / "a.csv")
