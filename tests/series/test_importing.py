"""Importing PaD-TS weights: both forms of checkpoint, what the run holds, and input that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scorefield.core.checkpoints import load_record, load_system
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.importing import import_model
from scorefield.core.model import Model
from scorefield.core.noise import Replayed
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.series.pad_ts.importing import import_pad_ts
from scorefield.domains.series.pad_ts.recipe import PaDTS

SETTINGS = {"hidden_size": 16, "num_heads": 2, "n_encoder": 1, "n_decoder": 2, "window": 8, "features": 3, "T": 10}


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = PaDTS(width=16, heads=2, decoder_layers=2, num_steps=10).build({"length": 8, "features": 3}).network
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return {**state, "feature2emb.pos_emb.pe": torch.zeros(1, 8, 16)}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    save_file(weights(), tmp_path / "own.safetensors")
    (tmp_path / "own.config.json").write_text(json.dumps(SETTINGS))
    return tmp_path / "own"


def change(prefix: Path, **values: Any) -> None:
    settings = {**SETTINGS, **values}
    settings = {name: value for name, value in settings.items() if value is not None}
    prefix.with_name("own.config.json").write_text(json.dumps(settings))


def test_the_command_makes_a_run_that_samples(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = prefix.with_name("run"), prefix.with_name("made.csv")
    assert main(["import", str(prefix), "--format", "pad_ts", "--out", str(run)]) == 0
    assert "series (length 8, features 3); samples with ddpm, 9 steps, raw weights" in capsys.readouterr().out
    assert main(["sample", str(run), "--num", "4", "--out", str(out)]) == 0
    summary = json.loads(prefix.with_name("made.csv.json").read_text())
    assert (summary["evaluations"], summary["series"]) == (10, 4)
    state = load_system(run).network.state_dict()
    for name, value in weights().items():
        if name != "feature2emb.pos_emb.pe":
            assert torch.equal(state[name], value)


def test_published_chain_from_an_imported_model(shared_dir: Path, tmp_path: Path) -> None:
    """The default sampler of an imported model gives the original's samples, with its noise."""
    folder = shared_dir / "fixtures" / "series_pad_ts"
    chain = load_file(folder / "chain_s_ddpm.safetensors")
    with safe_open(folder / "model_s.safetensors", "pt") as opened:
        settings = {**{k: int(v) for k, v in opened.metadata().items()}, "T": len(chain["betas"])}
    stored = load_file(folder / "model_s.safetensors")
    state = {name[3:]: value for name, value in stored.items() if name.startswith("sd.")}
    save_file(state, tmp_path / "ref.safetensors")
    (tmp_path / "ref.config.json").write_text(json.dumps(settings))
    import_model(tmp_path / "ref", "pad_ts", tmp_path / "run")
    system, record = load_system(tmp_path / "run"), load_record(tmp_path / "run")
    solver = make_solver(record.sampling["solver"], record.sampling["steps"], **record.sampling["arguments"])
    start = State({"x": chain["x_T"]})
    found = sample(system, start, solver, Replayed(chain["noises"]), start=start).state["x"]
    torch.testing.assert_close(found, chain["sample"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"step": 3, "model_state_dict": s}, lambda s: {"model": s}])
def test_original_checkpoints(prefix: Path, wrap: Callable[[dict], dict]) -> None:
    file = prefix.with_name("own.pth")
    torch.save(wrap({f"module.{name}": value for name, value in weights().items()}), file)
    imported = import_pad_ts(str(file))
    assert torch.equal(imported.raw["network.fc_time.weight"], weights()["fc_time.weight"])
    assert imported.record.sizes == {"length": 8, "features": 3}


def test_ranges_may_be_stated(prefix: Path) -> None:
    change(prefix, columns=["a", "b", "c"], low=[0, 10, 5], high=[1, 20, 5], licence="mine")
    run = prefix.with_name("run")
    import_model(prefix, "pad_ts", run)
    made = Model(run).sample(5)
    assert made.columns == ("a", "b", "c")
    assert made.x[..., 1].min() >= 10
    assert made.x[..., 1].max() <= 20
    assert set(made.x[..., 2].ravel()) == {5.0}
    assert Model(run).record.data["provenance"]["licence"] == "mine"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"T": None}, r"own\.config\.json: T: key is missing"),
        ({"T": 1}, r"own\.config\.json: num_steps is 1"),
        ({"T": "many"}, r"T: 'many' is no whole number above 0"),
        ({"num_heads": 3}, r"own\.config\.json: width 16 with 3 heads"),
        ({"window": 12}, r"own\.safetensors: .*pe: trained on windows of 8 steps, the configuration says 12"),
        ({"features": 4}, r"own\.safetensors: time2emb.*shape \(16, 3\) where the configuration gives \(16, 4\)"),
        ({"n_decoder": 3}, r"encoder_blocks\.2.*: weight is missing"),
        ({"n_decoder": 1}, r"encoder_blocks\.1.*: weight of no part"),
        ({"schedule": "linear"}, r"schedule: 'linear' is not supported"),
        ({"low": [0]}, r"own\.config\.json: low: needs a list of 3"),
        ({"low": ["a", 0, 0]}, r"low: 'a' is no number"),
        ({"dropout": "x"}, r"dropout: 'x' is no number"),
    ],
)
def test_settings_that_are_refused(prefix: Path, values: dict[str, Any], words: str) -> None:
    change(prefix, **values)
    with pytest.raises(InputError, match=words):
        import_model(prefix, "pad_ts", prefix.with_name("run"))
    assert not prefix.with_name("run").exists()


def test_files_that_are_refused(prefix: Path, tmp_path: Path) -> None:
    weight_file, config_file = (prefix.with_name(f"own.{end}") for end in ("safetensors", "config.json"))
    with pytest.raises(InputError, match=r"none\.safetensors: no such file; give PREFIX"):
        import_pad_ts(str(tmp_path / "none"))
    good = weight_file.read_bytes()
    weight_file.write_bytes(good[:100])
    with pytest.raises(InputError, match=r"own\.safetensors: damaged"):
        import_pad_ts(str(prefix))
    save_file({**weights(), "fc_time.bias": torch.full((3,), torch.nan)}, weight_file)
    with pytest.raises(InputError, match=r"fc_time\.bias: weights are not finite"):
        import_pad_ts(str(prefix))
    weight_file.write_bytes(good)
    config_file.write_text("{")
    with pytest.raises(InputError, match=r"own\.config\.json: line 1: not JSON"):
        import_pad_ts(str(prefix))
    config_file.unlink()
    with pytest.raises(InputError, match=r"own\.config\.json: no such file"):
        import_pad_ts(str(prefix))
    torch.save(weights(), tmp_path / "alone.pth")
    with pytest.raises(InputError, match=r"alone\.pth: a checkpoint without its configuration.*alone\.config\.json"):
        import_pad_ts(str(tmp_path / "alone.pth"))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_nothing_is_executed(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = prefix.with_name("own.pt")
    torch.save({"model": weights(), "other": Evil()}, file)
    with pytest.raises(InputError, match=r"own\.pt: damaged, or holds more than plain data"):
        import_pad_ts(str(file))
    torch.save({"step": 1}, file)
    with pytest.raises(InputError, match="holds no table of weights"):
        import_pad_ts(str(file))
    assert "executed" not in capsys.readouterr().out
