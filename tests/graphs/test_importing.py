"""Importing GDSS weights: both forms of checkpoint, what the run holds, and input that must be refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scorefield.core.checkpoints import load_record, load_system
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.importing import import_model
from scorefield.core.state import State
from scorefield.domains.graphs.gdss import GDSS
from scorefield.domains.graphs.importing import import_gdss, read_gdss

PARTS = ("x", "adj")
ATTENTION = {"nhid": 16, "num_linears": 3, "c_init": 2, "c_hid": 8, "c_final": 4, "adim": 16, "num_heads": 4}


def networks(x_network: str = "gcn", seed: int = 0) -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(seed)
    state = GDSS(x_network=x_network).build({"features": 4, "max_nodes": 9}).network.state_dict()
    return {p: {k.removeprefix(f"{p}."): v.clone() for k, v in state.items() if k.startswith(f"{p}.")} for p in PARTS}


def description(data: str = "QM9") -> dict[str, Any]:
    sde = {"type": "VE", "beta_min": 0.1, "beta_max": 1.0, "num_scales": 1000}
    return {
        "config": {"data": {"data": data}, "sde": {"x": dict(sde), "adj": dict(sde)}},
        "params_x": {"model_type": "ScoreNetworkX", "max_feat_num": 4, "depth": 2, "nhid": 16},
        "params_adj": {
            "model_type": "ScoreNetworkA",
            "max_feat_num": 4,
            "max_node_num": 9,
            "num_layers": 3,
            "conv": "GCN",
            **ATTENTION,
        },
    }


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A checkpoint in parts, with averages."""
    for part, state in networks().items():
        save_file(state, tmp_path / f"own.{part}.safetensors")
    for part, state in networks(seed=1).items():
        save_file(state, tmp_path / f"own.ema_{part}.safetensors")
    (tmp_path / "own.config.json").write_text(json.dumps(description()))
    return tmp_path / "own"


@pytest.fixture
def easydict(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class that the original's configurations are made of, as a module of that name has it."""

    class EasyDict(dict[str, Any]):
        def __init__(self, content: dict[str, Any]) -> None:
            super().__init__()
            for key, value in content.items():
                value = EasyDict(value) if isinstance(value, dict) else value
                setattr(self, key, value)
                self[key] = value

    module = ModuleType("easydict")
    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module.EasyDict = EasyDict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easydict", module)
    return EasyDict


@pytest.fixture
def original(tmp_path: Path, easydict: type, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write an original checkpoint, `change`d, and forget the class it was written with."""

    def write(change: Callable[[dict[str, Any]], object] = lambda stored: None) -> Path:
        content, weights, averages = description(), networks(), networks(seed=1)
        stored: dict[str, Any] = {"model_config": easydict(content["config"])}
        for part in PARTS:
            stored[f"params_{part}"] = content[f"params_{part}"]
            stored[f"{part}_state_dict"] = {f"module.{name}": value for name, value in weights[part].items()}
            shadows = list(averages[part].values())
            stored[f"ema_{part}"] = {"decay": 0.999, "num_updates": 3, "shadow_params": shadows}
        change(stored)
        torch.save(stored, tmp_path / "own.pth")
        monkeypatch.delitem(sys.modules, "easydict", raising=False)
        return tmp_path / "own.pth"

    return write


def assert_same(found: dict[str, Tensor] | None, wanted: dict[str, dict[str, Tensor]]) -> None:
    assert found is not None
    flat = {f"{part}.{name}": value for part, state in wanted.items() for name, value in state.items()}
    assert set(found) == set(flat)
    assert all(torch.equal(found[name], value) for name, value in flat.items())


def test_parts_and_original_checkpoint_hold_the_same(prefix: Path, original: Callable[..., Path]) -> None:
    for source in (prefix, original()):
        found = read_gdss(source)
        assert_same(found.raw, networks())
        assert_same(found.ema, networks(seed=1))
        assert found.network["layers"] == 3
        assert found.paths["x"] == {
            "class_path": "scorefield.core.paths.VE",
            "init_args": {"sigma_min": 0.1, "sigma_max": 1.0},
        }
        assert (found.sizes, found.data) == ({"features": 4, "max_nodes": 9}, "QM9")
        assert not found.use_ema


def test_the_attention_variant(tmp_path: Path) -> None:
    for part, state in networks("gmh").items():
        save_file(state, tmp_path / f"v2.{part}.safetensors")
    content = description()
    content["params_x"] |= {"model_type": "ScoreNetworkX_GMH", "conv": "GCN", **ATTENTION}
    (tmp_path / "v2.config.json").write_text(json.dumps(content))
    found = read_gdss(tmp_path / "v2")
    assert found.network["x_network"] == "gmh"
    assert found.ema is None
    assert_same(found.raw, networks("gmh"))


def test_the_original_is_read_without_running_anything(original: Callable[..., Path], tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    file = original(lambda stored: stored.update(extra=Touch()))
    with pytest.raises(InputError, match=r"own\.pth: .*more than plain data .it names \w+.mkdir"):
        read_gdss(file)
    assert not (tmp_path / "ran").exists()
    assert "easydict" not in sys.modules


@pytest.mark.parametrize("tag", ["qm9", "community_small"])
def test_imported_runs_give_the_published_outputs(tag: str, shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "fixtures" / "graphs_gdss"
    record = import_model(folder / tag, "gdss", tmp_path / "run")
    assert load_record(tmp_path / "run") == record
    assert load_file(tmp_path / "run" / "model.safetensors").keys() >= {"raw.network.x.layers.0.weight"}
    stored = np.load(folder / f"{tag}.forward.npz")
    x, adj, t = (torch.from_numpy(stored[name]) for name in ("x_t", "adj_t", "t"))
    state = State({"x": x, "adj": adj}, {"mask": torch.from_numpy(stored["flags"]).bool()})
    scores = load_system(tmp_path / "run").score(state, t)
    for name in PARTS:
        wanted = torch.from_numpy(stored[f"score_{name}"])
        assert (scores[name] - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    averaged = (folder / f"{tag}.ema_x.safetensors").exists()
    assert any(name.startswith("ema.") for name in load_file(tmp_path / "run" / "model.safetensors")) == averaged


def test_what_sampling_needs_comes_from_the_data_set(shared_dir: Path) -> None:
    folder = shared_dir / "fixtures" / "graphs_gdss"
    molecules = import_gdss(folder / "qm9").record
    assert molecules.tables["atoms"] == ["C", "N", "O", "F"]
    assert sum(molecules.tables["node_counts"].values()) == 120_803
    assert molecules.sampling["weights"] == "raw"
    assert molecules.data["class_path"].endswith("QM9Data")
    graphs = import_gdss(folder / "community_small").record
    assert graphs.tables["kind"] == "graphs"
    assert graphs.sampling["arguments"]["predictor"] == "euler"
    assert graphs.sampling["arguments"]["snr"] == 0.05


@pytest.mark.parametrize(
    ("predictor", "corrector", "solver"),
    [("S4", "None", "s4"), ("Euler", "None", "euler-maruyama"), ("Reverse", "Langevin", "pc")],
)
def test_published_samplers_of_generic_graphs(predictor: str, corrector: str, solver: str, shared_dir: Path) -> None:
    from scorefield.core.solver_registry import make_solver
    from scorefield.domains.graphs.importing import _sampling

    found = read_gdss(shared_dir / "fixtures" / "graphs_gdss" / "community_small")
    assert found.sampler is not None
    found.sampler.update(predictor=predictor, corrector=corrector)
    settings = _sampling(found, molecules=False)
    assert settings.solver == solver
    make_solver(settings.solver, settings.steps, **settings.arguments)


def edit(prefix: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = description()
    change(content)
    prefix.with_name("own.config.json").write_text(json.dumps(content))


BAD_DESCRIPTIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no configuration": (lambda c: c.pop("config"), r"own\.config\.json: config: key is missing"),
    "no arguments": (lambda c: c.pop("params_adj"), r"own\.config\.json: params_adj: key is missing"),
    "no SDE": (lambda c: c["config"].pop("sde"), r"sde\.x\.type: key is missing"),
    "unknown SDE": (lambda c: c["config"]["sde"]["adj"].update(type="cosine"), r"sde\.adj\.type: unknown SDE 'cosine'"),
    "text for a number": (lambda c: c["params_x"].update(depth="2"), r"params_x\.depth: '2' is not of type int"),
    "unknown node network": (
        lambda c: c["params_x"].update(model_type="BaselineNetwork"),
        r"params_x\.model_type: unknown network 'BaselineNetwork'",
    ),
    "unknown edge network": (
        lambda c: c["params_adj"].update(model_type="ScoreNetworkX"),
        r"params_adj\.model_type: unknown network",
    ),
    "attention by perceptrons": (lambda c: c["params_adj"].update(conv="MLP"), r"params_adj\.conv: .*'MLP'"),
    "networks that differ": (lambda c: c["params_x"].update(nhid=8), r"params_x\.nhid: 8, but params_adj\.nhid is 16"),
    "features that differ": (lambda c: c["params_adj"].update(max_feat_num=5), r"params_adj\.max_feat_num: 5"),
    "heads": (lambda c: c["params_adj"].update(num_heads=3), r"params_adj: .*heads must divide"),
    "shape": (
        lambda c: c["params_adj"].update(adim=32),
        r"own\.adj\.safetensors: layers\.1\.attn\.0\.gnn_q\.weight: shape \(16, 16\) where .* \(16, 32\)",
    ),
    "too few layers stored": (
        lambda c: c["params_adj"].update(num_layers=4),
        r"own\.adj\.safetensors: layers\.2\.mlp\.linears\.2\.weight: shape|layers\.3\..*: weight is missing",
    ),
    "too many layers stored": (lambda c: c["params_x"].update(depth=1), r"own\.x\.safetensors: "),
    "unknown data": (lambda c: c["config"]["data"].update(data="mine"), r"data\.data: mine is no data set"),
    "another data set": (
        lambda c: c["config"]["data"].update(data="ZINC250k"),
        r"params_adj\.max_feat_num: 4, but ZINC250k has 9",
    ),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
def test_bad_descriptions(name: str, prefix: Path) -> None:
    change, message = BAD_DESCRIPTIONS[name]
    edit(prefix, change)
    with pytest.raises(InputError, match=message):
        import_gdss(prefix)


@pytest.mark.parametrize(
    "part", ["own.x.safetensors", "own.adj.safetensors", "own.config.json", "own.ema_x.safetensors"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "corrupt"])
def test_bad_parts(part: str, damage: str, prefix: Path) -> None:
    file = prefix.with_name(part)
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\xff" * 64)
    with pytest.raises(InputError, match=part.replace(".", r"\.")):
        read_gdss(prefix)


def test_weights_that_are_not_finite(prefix: Path) -> None:
    state = networks()["adj"]
    state["final.linears.1.bias"][3] = float("nan")
    save_file(state, prefix.with_name("own.adj.safetensors"))
    with pytest.raises(InputError, match=r"own\.adj\.safetensors: final\.linears\.1\.bias: weights are not finite"):
        read_gdss(prefix)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("x_state_dict"), r"own\.pth: x_state_dict: key is missing"),
        (lambda c: c.pop("model_config"), r"own\.pth: model_config: key is missing"),
        (lambda c: c.pop("ema_adj"), r"own\.pth: ema_adj: key is missing"),
        (lambda c: c["ema_x"]["shadow_params"].pop(), r"ema_x\.shadow_params: .* do not match"),
        (lambda c: c["x_state_dict"].update(more=1), r"x_state_dict: not a table of tensors"),
        (
            lambda c: c["adj_state_dict"].popitem(),
            r"ema_adj\.shadow_params: |final\.linears\.2\.bias: weight is missing",
        ),
    ],
)
def test_bad_original_checkpoints(change: Any, message: str, original: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=message):
        read_gdss(original(change))


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_original_checkpoints(damage: str, original: Callable[..., Path]) -> None:
    file = original()
    content = file.read_bytes()
    file.write_bytes({"truncated": content[: len(content) // 2], "text": b"weights\n", "empty": b""}[damage])
    with pytest.raises(InputError, match=r"own\.pth: damaged"):
        read_gdss(file)


def test_the_command(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["import", str(prefix), "--format", "gdss", "--out", str(run)]) == 0
    assert "features 4" in capsys.readouterr().out
    assert load_system(run, "ema") is not None
    assert main(["import", str(prefix), "--format", "gdss", "--out", str(run)]) == 2
    assert capsys.readouterr().err == f"scorefield: {run}: the folder is not empty; {_mend(run)}\n"


def _mend(run: Path) -> str:
    try:
        import_model(run.parent / "own", "gdss", run)
    except InputError as error:
        return str(error).partition("; ")[2]
    raise AssertionError


@pytest.mark.parametrize(
    ("source", "form", "message"),
    [("nothing", "gdss", "no such checkpoint"), ("own", "gds", "did you mean 'gdss'?")],
)
def test_the_command_refuses_and_writes_nothing(
    source: str, form: str, message: str, prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["import", str(tmp_path / source), "--format", form, "--out", str(run)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not run.exists()
