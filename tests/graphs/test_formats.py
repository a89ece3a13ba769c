"""Files of molecules and graphs: what is written is read, and every bad file is one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.graphs.formats import read_table
from scorefield.domains.graphs.graph_samples import Graphs
from scorefield.domains.graphs.molecules import FLAGS, Molecules


def some_molecules() -> Molecules:
    flags = {name: np.array([True, False, True]) for name in (*FLAGS, "empty")}
    return Molecules(np.array(["CCO", "", "c1cc[nH]c1"]), **flags, ids=np.array(["a", "b", "c d"]))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".csv.gz", ".parquet.gz"])
def test_tables_keep_all_rows_and_flags(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"new/m{suffix}"
    some_molecules().save(path)
    back = Molecules.load(path).arrays()
    assert back.keys() == some_molecules().arrays().keys()
    for name, column in some_molecules().arrays().items():
        np.testing.assert_array_equal(back[name], column)
    assert [child.name for child in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".smi", ".txt", ".sdf", ".smi.gz", ".sdf.gz"])
def test_lists_keep_what_parses(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    some_molecules().save(path)
    back = Molecules.load(path)
    assert back.smiles.tolist() == ["CCO", "c1cc[nH]c1"]
    assert back.ids is not None
    assert back.ids.tolist() == ["a", "c d"]


def test_smi_lines_and_plane_coordinates(tmp_path: Path) -> None:
    molecules = Molecules(np.array(["C", "", "CO"]))
    molecules.save(tmp_path / "m.smi")
    assert (tmp_path / "m.smi").read_text() == "C 0\nCO 2\n"
    molecules.save(tmp_path / "m.sdf")
    atoms = (tmp_path / "m.sdf").read_text().split("$$$$\n")[1].splitlines()[4:6]
    assert float(atoms[0].split()[0]) != float(atoms[1].split()[0])


def test_same_bytes_each_time(tmp_path: Path) -> None:
    for suffix in (".smi.gz", ".csv.gz", ".sdf"):
        some_molecules().save(tmp_path / f"a{suffix}")
        some_molecules().save(tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "smiles", "rows"),
    [
        ("a.smi", "CCO x\n\nCC\ty z\n", ["CCO", "CC"], [1, 3]),
        ("a.txt", "\ufeffSMILES id\nCCO\nC\n", ["CCO", "C"], [2, 3]),
        ("a.csv", 'n,Smiles\n1,CC\n2,"C\n"\n3,\n', ["CC", "C", ""], [2, 3, 4]),
        ("a.tsv", "smiles\tx\nCC\t1\n", ["CC"], [2]),
        ("a.smi.gz", "NA\n", ["NA"], [1]),
        ("A.CSV", "smiles\nNA\n", ["NA"], [2]),
    ],
)
def test_reading(tmp_path: Path, name: str, text: str, smiles: list[str], rows: list[int]) -> None:
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table = read_table(tmp_path / name)
    assert (table.smiles, table.rows.tolist()) == (smiles, rows)


def test_column_by_name(tmp_path: Path) -> None:
    pd.DataFrame({"smiles": ["C"], "mol": ["N"]}).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", "mol").smiles == ["N"]
    assert read_table(tmp_path / "a.parquet").rows.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.smi", None, "there is no such file"),
        ("a.smi", b"", "the file is empty"),
        ("a.smi", b" \n\n", "the file is empty"),
        ("a.smi", b"smiles\n", "the file holds no molecule"),
        ("a.csv", b"smiles,x\n", "the file holds no molecule"),
        ("a.csv", b"mol,x\nC,1\n", "row 1: there is no column smiles; name one of mol, x with smiles_column \\(in fit"),
        ("a.csv", b'smiles\n"C', "cannot be read"),
        ("a.csv", b"smiles,valid_ref\nC,True\nN,maybe\n", "row 3: column valid_ref must be true or false"),
        ("a.parquet", b"PAR1 not really", "cannot be read"),
        ("a.smi.gz", b"not gzip", "cannot be read"),
        ("a.smi.gz", gzip.compress(b"C\nCC\n" * 99, mtime=0)[:-9], "cannot be read"),
        ("a.smi.gz", gzip.compress(b"CCOCN\n" * 9, mtime=0)[:12] + b"\xff\xff\xff\xff\xff\xff", "cannot be"),
        ("a.smi", b"C\nCC\n\xff\xfe\n", "row 3: is not UTF-8 text"),
        ("a.sdf", b"x\n\n\n  9  9  0  0\nbroken\n$$$$\n", "row 1: this record is no molecule"),
        ("a.xyz", b"C\n", r"\.xyz is no format of molecules; known are \.smi"),
        ("a", b"C\n", "no suffix is no format of molecules"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: {message}") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_bad_suffix_when_writing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no format of molecules"):
        some_molecules().save(tmp_path / "a.mol3")
    with pytest.raises(InputError, match="is no format of graphs"):
        some_graphs().save(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def some_graphs() -> Graphs:
    return Graphs(np.array([3, 4, 2]), np.array([0, 2, 3, 3]), np.array([[0, 1], [1, 2], [0, 3]]))


@pytest.mark.parametrize("suffix", [".npz", ".graphml", ".edgelist", ".txt"])
def test_graphs_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    some_graphs().save(path)
    for name, array in Graphs.load(path).arrays().items():
        np.testing.assert_array_equal(array, some_graphs().arrays()[name])


def test_features_come_back(tmp_path: Path) -> None:
    graphs = Graphs.from_arrays({**some_graphs().arrays(), "features": np.arange(18.0).reshape(9, 2)})
    graphs.save(tmp_path / "g.npz")
    np.testing.assert_array_equal(Graphs.load(tmp_path / "g.npz").arrays()["features"], graphs.features)


def test_plain_edge_list_is_one_graph(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("# a comment\n10 7\n7, 30\n7 10\n")
    graphs = Graphs.load(tmp_path / "g.txt")
    assert (graphs.num_nodes.tolist(), graphs.edges.tolist()) == ([3], [[0, 1], [0, 2]])


def test_stored_graphs(shared_dir: Path) -> None:
    for name, number, edges in (("community_small", 100, 3_515), ("ENZYMES", 587, 37_142)):
        graphs = Graphs.load(shared_dir / f"data/graphs/{name}.npz")
        assert (len(graphs), len(graphs.edges)) == (number, edges)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.txt", b"", "the file is empty"),
        ("g.txt", b"# nothing\n", "the file holds no graph"),
        ("g.txt", b"0 1 2\n0 1\n", "mixes lines"),
        ("g.txt", b"0 1 2\n0 a b\n", "row 2: '0 a b' is not"),
        ("g.txt", b"0 1 1\n", "graph 0: node 1 is joined to itself"),
        ("g.txt", b"# graph 0 nodes 2\n0 0 5\n", r"graph 0: \(0, 5\) is no edge"),
        ("g.npz", b"PK no zip", "is no archive"),
        ("g.graphml", b"<graphml", "is no GraphML"),
        ("g.dot", b"graph {}", r"\.dot is no format of graphs"),
    ],
)
def test_bad_graph_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"^{tmp_path / name}: {message}"):
        Graphs.load(tmp_path / name)


def test_archive_without_edges(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", num_nodes=np.array([1]))
    with pytest.raises(InputError, match="has no array 'edge_ptr"):
        Graphs.load(tmp_path / "g.npz")
