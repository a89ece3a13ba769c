"""GeoTDM weights of the original project become runs; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from scorefield.core.checkpoints import load_record, load_system
from scorefield.core.errors import InputError
from scorefield.core.importing import import_model
from scorefield.core.model import Model
from scorefield.core.noise import Replayed
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.domains.geometry.importing import import_geotdm
from tests.geometry.stored import Case, read

SYSTEM = {"nodes": 5, "features": [[1.0]] * 5, "edge_features": [[1.0]] * 20, "count": 1}


def written(case: Case, folder: Path, **changes: Any) -> Path:
    """The files of a stored case, as a user would have them."""
    weights = {name[2:]: value for name, value in case.stored.items() if name.startswith("w.")}
    save_file(weights, folder / "own.safetensors")
    own = {key: case.settings[key] for key in ("mode", "num_timesteps", "schedule", "rescale_timesteps", "config")}
    own |= {"frames": case.state["x"].shape[2], "space": case.state["x"].shape[3], "nodes": case.state["x"].shape[1]}
    if case.conditional:
        own["given"] = case.stored["in.cond_mask"].flatten().nonzero()[:, 0].tolist()
    settings = {key: value for key, value in {**own, **changes}.items() if value is not None}
    (folder / "own.config.json").write_text(json.dumps(settings))
    return folder / "own"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nbody_cond", {"system": "charged"}),
        ("ped_cond", {"system": "pedestrians"}),
        (
            "cond_fixed_prior",
            {"systems": [{**SYSTEM, "nodes": 4, "features": [[1.0]] * 4, "edge_features": [[0.0]] * 12}]},
        ),
        ("md_uncond", {"systems": [{"nodes": 1, "features": [[0.0] * 30], "edges": [], "edge_features": []}]}),
    ],
)
def test_imported_runs_sample_as_published(
    shared_dir: Path, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    case = read(shared_dir, name)
    import_model(written(case, tmp_path, **changes), "geotdm", tmp_path / "run")
    system, record = load_system(tmp_path / "run"), load_record(tmp_path / "run")
    for key, value in case.system.state_dict().items():
        assert torch.equal(system.state_dict()[key], value)
    solver = make_solver(record.sampling["solver"], record.sampling["steps"], **record.sampling["arguments"])
    draws = Replayed([case.positions(value) for value in case.stored["loop.noise"]])
    found = case.flat(sample(system, case.state, solver, draws).state["x"])
    wanted = case.stored["loop.sample"]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))


def test_unconditional_runs_know_systems_of_particles(shared_dir: Path, tmp_path: Path) -> None:
    source = written(read(shared_dir, "nbody_uncond"), tmp_path, system="springs")
    import_model(source, "geotdm", tmp_path / "run")
    record = load_record(tmp_path / "run")
    springs = [system["edge_features"] for system in record.tables["systems"]]
    assert sum(system["count"] for system in record.tables["systems"]) == 256
    assert {value for system in springs for (value,) in system} == {0.0, 1.0}
    assert (record.tables["dt"], record.sizes["frames"], record.sizes["nodes"]) == (0.1, 6, 5)
    found = Model(tmp_path / "run").sample(2, solver="dpmpp-2m", steps=3, decode=False)
    assert found["x"].shape == (2, 5, 6, 3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mode": None}, "mode"),
        ({"mode": "both"}, "'both' is no mode"),
        ({"frames": None}, "frames"),
        ({"frames": 8}, "3 of 8 frames, and the weights generate 4"),
        ({"given": None}, "given"),
        ({"given": "0:9"}, "beyond a window"),
        ({"num_timesteps": None}, "num_timesteps"),
        ({"num_timesteps": 12}, "more than 20"),
        ({"schedule": "sqrt"}, "'sqrt' is not supported"),
        ({"node_dim": 2}, "2, where the weights are of 1"),
        ({"hidden_dim": 64}, "64, where the weights are of 16"),
        ({"learn_ref_frame": False}, "the weights hold a learned prior"),
        ({"scale": 2}, "scale"),
        ({"act_fn": "relu"}, "act_fn"),
        ({"pre_norm": "no"}, "neither true nor false"),
        ({"system": None}, "list what moved"),
        ({"system": None, "systems": [{"nodes": 9}]}, "no system of 1 to 5 nodes"),
    ],
)
def test_what_does_not_fit(shared_dir: Path, tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    case = read(shared_dir, "nbody_cond")
    config = {**case.settings["config"], **{k: v for k, v in changes.items() if k in case.settings["config"]}}
    others = {k: v for k, v in changes.items() if k not in case.settings["config"]}
    source = written(case, tmp_path, **{"system": "charged", "config": config, **others})
    with pytest.raises(InputError, match=match) as error:
        import_geotdm(str(source))
    assert "own.config.json" in str(error.value)


def test_weights_that_do_not_fit(shared_dir: Path, tmp_path: Path) -> None:
    case = read(shared_dir, "nbody_cond")
    source = written(case, tmp_path, system="charged")
    weights = {name[2:]: value for name, value in case.stored.items() if name.startswith("w.")}
    name = "t_modules.1.q_mlp.actions.2.weight"
    for changed, match in (
        ({**weights, name: weights[name][:3]}, "shape"),
        ({**weights, name: weights[name] / 0}, "not finite"),
        ({key: value for key, value in weights.items() if key != name}, "weight is missing"),
        ({**weights, "other": weights[name].clone()}, "no part of this network"),
        ({"other": weights[name]}, "holds no weights of GeoTDM"),
    ):
        save_file({key: value.contiguous() for key, value in changed.items()}, tmp_path / "own.safetensors")
        with pytest.raises(InputError, match=match):
            import_geotdm(str(source))
    save_file({f"module.net.{key}": value for key, value in weights.items()}, tmp_path / "own.safetensors")
    assert import_geotdm(str(source)).raw.keys() == case.system.state_dict().keys()
