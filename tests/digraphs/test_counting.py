"""Fitting is counting: streamed edges, two passes, several processes, resuming; what a run is then worth."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield as sf
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.digraphs import Digraph, Digraphs, measure, simple_digraph, write_digraph
from scorefield.domains.digraphs.data import EdgeListData, ImportsData
from scorefield.domains.digraphs.degree_counter import _add, _classes
from scorefield.domains.digraphs.edge_store import EdgeStore

EDGES = np.random.default_rng(0).integers(0, 60, (500, 2))


def lines(edges: np.ndarray, folder: Path, name: str = "edges.txt") -> Path:
    np.savetxt(folder / name, edges, fmt="%d")
    return folder / name


def whole(store: EdgeStore, size: int = 64) -> Digraph:
    parts = list(store.batches(size))
    assert all(src.size <= size for src, _ in parts)
    assert len(parts) == store.number_of_batches(size)
    return Digraph(*(np.concatenate(ends) for ends in zip(*parts, strict=True)), store.n).sorted()


def in_batches(edges: np.ndarray, size: int = 37):
    return ((part[:, 0], part[:, 1]) for part in np.split(edges, range(size, len(edges), size)))


@pytest.mark.parametrize("spread", [1, 10**6, 10**17])
@pytest.mark.parametrize("in_memory", [10**9, 50])
def test_a_store_is_the_simple_graph(spread: int, in_memory: int) -> None:
    edges = EDGES * spread
    store = EdgeStore(in_batches(edges), in_memory=in_memory)
    _, ranks = np.unique(edges[edges[:, 0] != edges[:, 1]], return_inverse=True)
    every, _ = np.unique(edges, return_inverse=True)
    expected = simple_digraph(np.searchsorted(every, edges), every.size)
    assert store.on_disk == (in_memory == 50)
    assert (store.n, store.m) == (every.size, expected.graph.m)
    assert (store.loops, store.duplicates) == (expected.loops, expected.duplicates)
    np.testing.assert_array_equal(whole(store).keys, expected.graph.keys)
    assert ranks.max() < store.n
    store.close()


@pytest.mark.parametrize("in_memory", [10**9, 50])
def test_a_store_knows_undirected_graphs(in_memory: int) -> None:
    both = np.concatenate([EDGES, EDGES[:, ::-1]])
    assert EdgeStore(in_batches(both), in_memory=in_memory).is_symmetric
    assert not EdgeStore(in_batches(EDGES), in_memory=in_memory).is_symmetric
    assert not EdgeStore(iter([]), 3).is_symmetric


def test_ids_that_are_no_nodes_are_named() -> None:
    with pytest.raises(InputError, match=r"edge 2: 1 -> 7 has an id that is not of 0 to 4"):
        EdgeStore(iter([(np.array([0, 1]), np.array([1, 7]))]), 5)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_share_all_edges_in_as_many_steps(tmp_path: Path, processes: int) -> None:
    data = EdgeListData(str(lines(EDGES, tmp_path)), batch_size=100)
    data.setup()
    shares = [list(data.edges(rank, processes)) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert sum(len(batch["src"]) for share in shares for batch in share) == data.sizes["edges"]


def test_adding_and_classes() -> None:
    counts = torch.zeros(6, dtype=torch.int64)
    _add(counts, torch.tensor([1, 1, 5]))
    _add(counts, torch.tensor([1]))
    assert counts.tolist() == [0, 3, 0, 0, 0, 1]
    ranks, values = _classes(torch.tensor([[0, 2, 2], [3, 0, 1]]))
    assert ranks.tolist() == [[2, 0, 1], [0, 1, 1]]
    assert [value.tolist() for value in values] == [[0, 1, 3], [0, 2]]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, fitted from a file with loops and repetitions."""
    folder = tmp_path_factory.mktemp("fitted")
    file = lines(EDGES, folder)
    words = ["--data.batch_size=64", "--model.system.ratio=0.5", "--trainer.accelerator=cpu"]
    assert (
        main(["fit", "--config", "digraphs/rescale", "--data.path", str(file), *words, "--out", f"{folder}/run"]) == 0
    )
    return folder / "run"


def test_the_run_holds_the_degree_matrices(fitted: Path) -> None:
    expected = measure(simple_digraph(EDGES).graph)
    checkpoint = torch.load(fitted / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["_extra_state"]
    model = sf.load(fitted)
    matrices = model._loaded("raw", False).matrices()
    for name in ("jdm", "dcm"):
        np.testing.assert_array_equal(getattr(matrices, name), getattr(expected, name))
        np.testing.assert_array_equal(checkpoint[name].numpy(), getattr(expected, name))
    assert model.record.sizes == {"nodes": expected.n, "edges": expected.m}
    assert (fitted / "metrics.csv").read_text().count("\n") == 3


def test_a_run_goes_on_after_its_first_pass(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = fitted.parent / "edges.txt", tmp_path / "run"
    from scorefield.core.counting import CountingModule
    from scorefield.domains.digraphs.degree_counter import DegreeCounter

    def killed(module: CountingModule, batch: object, batch_idx: int) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt
        counted(module, batch, batch_idx)

    counted = DegreeCounter.training_step
    words = ["fit", "--config", "digraphs/rescale", "--data.path", str(file), "--model.system.ratio=0.5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DegreeCounter, "training_step", killed)
        main([*words, "--out", str(run)])
    assert not (run / "model.json").exists()
    assert main(["fit", "--resume", str(run)]) == 0
    assert (run / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert main(["fit", "--resume", str(run)]) == 2
    assert "all is counted" in capsys.readouterr().err


def test_samples_of_a_run(fitted: Path, tmp_path: Path) -> None:
    words = ["sample", str(fitted), "--num", "3", "--condition", "ratio=0.75", "--condition", "steps_per_edge=2"]
    assert main([*words, "--out", f"{tmp_path}/one"]) == 0
    assert main([*words, "--out", f"{tmp_path}/two", "--devices", "2"]) == 0
    names = ["000.npz", "001.npz", "002.npz", "certificates.json"]
    assert sorted(entry.name for entry in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    summary = json.loads((tmp_path / "one.json").read_text())
    assert (summary["num"], summary["nodes"], summary["ratio"]) == (3, 45, "0.75")
    assert 0 < summary["max_ks"] < 1 / 45
    assert not list(tmp_path.glob("*.parts"))
    here = sf.load(fitted).sample(3, conditions={"ratio": 0.75, "steps_per_edge": 2})
    there = Digraphs.load(tmp_path / "one")
    assert [graph.keys.tolist() for graph in here] == [graph.keys.tolist() for graph in there]
    assert len({tuple(graph.keys.tolist()) for graph in here}) == 3
    assert sf.load(fitted).sample(1)[0].n == 30  # the run's own ratio
    assert sf.load(fitted).sample(1, conditions={"nodes": 41})[0].n == 41


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--condition", "ratio=-1"], "ratio -1 is not above 0"),
        (["--condition", "ratio=nan"], "ratio nan is no number"),
        (["--condition", "ratio=0.001"], "leaves no node"),
        (["--condition", "nodes=some"], "nodes is some"),
        (["--condition", "ratio=0.5", "--condition", "nodes=7"], "give one of them"),
        (["--condition", "start=anywhere"], "give cyclic or random"),
        (["--condition", "steps_per_edge=-1"], "give 0 or more"),
        (["--condition", "rattio=1"], "did you mean 'ratio'"),
        (["--solver", "ddim"], "takes no solver"),
        (["--weights", "ema"], "takes no weights"),
        (["--guide", "x=1"], "takes no guide"),
        (["--chunk-size", "7"], "chunks of 1"),
        (["--condition", "nodes=6", "--condition", "on_infeasible=raise"], "too few for the largest degrees"),
    ],
)
def test_impossible_samples(
    fitted: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(fitted), "--num", "2", "--out", f"{tmp_path}/s", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())


def test_a_run_without_score_says_so(fitted: Path) -> None:
    with pytest.raises(InputError, match="has no score"):
        sf.load(fitted).score({}, 0.5)
    with pytest.raises(InputError, match="has no states"):
        sf.load(fitted).sample(1, decode=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 x\n", "line 2"),
        ("0 1\n-1 2\n", "line 2: '-1 2' has a negative id"),
        ("0 1\n1\n", "line 2"),
        ("# nothing\n", "holds no nodes"),
    ],
)
def test_a_bad_file_leaves_nothing(tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.txt").write_text(text)
    words = ["--data.path", f"{tmp_path}/bad.txt", "--out", f"{tmp_path}/run"]
    assert main(["fit", "--config", "digraphs/rescale", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert f"bad.txt: {message}" in error
    assert "\n" not in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.txt"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.n=10"], "has an id that is not of 0 to 9"),
        (["--trainer.max_epochs=3"], "counting takes 2 passes, not 3"),
        (["--trainer.limit_train_batches=0.5"], "counting takes all batches"),
        (["--trainer.strategy=fsdp"], "is for training"),
        (["--model.system.start=anywhere"], "anywhere"),
        (["--model.system.ratios=1"], "did you mean"),
        (["--data.batch_size=0"], "batch_size is 0"),
    ],
)
def test_impossible_fits(tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = lines(EDGES, tmp_path)
    out = ["--out", f"{tmp_path}/run"]
    assert main(["fit", "--config", "digraphs/rescale", "--data.path", str(file), *words, *out]) == 2
    assert message in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["edges.txt"]


def test_columns_that_are_left_out_and_undirected_graphs_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 1 5\n1 0 2\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InputWarning)
        EdgeListData(str(tmp_path / "a.txt")).setup()
    assert [part in str(one.message) for part, one in zip(("weights", "undirected"), told, strict=True)] == [True, True]


def test_every_format_is_counted_alike(tmp_path: Path) -> None:
    graph = simple_digraph(EDGES).graph
    for name in ("a.txt.gz", "a.csv", "a.parquet", "a.npz", "a.graphml"):
        write_digraph(tmp_path / name, graph)
        data = EdgeListData(str(tmp_path / name))
        data.setup()
        assert data.sizes == {"nodes": graph.n, "edges": graph.m}, name


def test_the_embedded_graph() -> None:
    data = ImportsData()
    data.setup()
    assert data.sizes == {"nodes": 659, "edges": 2937}
    assert data.local_files() == {}


@pytest.mark.slow
def test_several_processes_count_the_same(
    fitted: Path, tmp_path: Path, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = ["--data.path", fitted.parent / "edges.txt", "--data.batch_size=50", "--data.edges_in_memory=100"]
    machine = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--out", tmp_path / "run"]
    done = program("fit", "--config", "digraphs/rescale", "--model.system.ratio=0.5", *words, *machine)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
