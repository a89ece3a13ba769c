"""GeoTDM weights of the original project as models of ours.

Sizes of the network are those of its weights; where the configuration states them too, they must agree. What weights do
not tell stands in the JSON file beside them: mode, frames and which of them are given, the diffusion chain, and what
moved, as positions come without their systems' charges, springs or bonds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.foreign_weights import (
    number_of,
    original_record,
    read_settings,
    read_weights,
    told_by,
    weight_files,
    whole_number,
)
from scorefield.core.given import given_steps
from scorefield.core.importing import ImportedModel
from scorefield.domains.geometry.geotdm import GeoTDM, published_sampler
from scorefield.domains.geometry.synthesis import check_systems

__all__ = ["import_geotdm", "own_name"]

_NEEDED = "mode, frames, given (of conditional models), num_timesteps, system or systems"
_ALIASES = {
    "T": "num_timesteps",
    "timesteps": "num_timesteps",
    "num_steps": "num_timesteps",
    "diffusion_steps": "num_timesteps",
    "noise_schedule": "schedule",
    "dataset": "system",
    "kind": "system",
    "dim": "space",
}
_LAYERS = {"n_layers": "s_modules", "n_layers_ref": "s_modules_ref"}
_PRIOR = ("input_linear_ref.", "s_modules_ref.", "t_modules_ref.", "ws")
_PARTICLES = ("charged", "springs", "gravity")
_SYSTEMS = 256  # of particles, that a run keeps


def import_geotdm(source: str) -> ImportedModel:
    """An original checkpoint as a model of ours; it is sampled as published by default.

    Args:
        source: see `foreign_weights.weight_files`.

    Raises:
        InputError: a file or key is missing or damaged, or weights do not fit the configuration.
    """
    weight_file, config_file = weight_files(source, _NEEDED)
    settings = {_ALIASES.get(key, key): value for key, value in read_settings(config_file).items()}
    state = _network(read_weights(weight_file), weight_file)
    arguments = _arguments(state, settings, weight_file, config_file)
    sizes, given = _sizes(state, settings, weight_file, config_file)
    tables = _tables(settings, sizes, given, config_file)
    check_systems(tables, sizes, config_file)
    with told_by(config_file):
        system = GeoTDM(**arguments).build(sizes)
    expected = {name: tuple(value.shape) for name, value in system.state_dict().items()}
    weights = _fitting({own_name(name): value for name, value in state.items()}, expected, weight_file)
    files, sampling = (weight_file, config_file), published_sampler(arguments["num_steps"])
    record = original_record("geometry", GeoTDM, arguments, sizes, tables, sampling, settings, "system", files)
    return ImportedModel(record, weights, None)


def own_name(name: str) -> str:
    """Where our system keeps a weight of the original network."""
    return f"origin_networks.x.{name}" if name.startswith(_PRIOR) else f"network.{name}"


def _network(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The network's own weights; it may stand inside of other modules."""
    known = next((name for name in state if name.endswith("input_linear.weight")), None)
    if known is None:
        raise InputError("holds no weights of GeoTDM", file=file, place="input_linear.weight")
    prefix = known.removesuffix("input_linear.weight")
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _size(state: Mapping[str, Tensor], name: str, axis: int, file: Path) -> int:
    if name not in state or state[name].ndim <= axis:
        raise InputError("weight is missing", file=file, place=name)
    return int(state[name].shape[axis])


def _count(state: Mapping[str, Tensor], layers: str) -> int:
    numbers = [int(found[1]) for name in state if (found := re.match(rf"{layers}\.(\d+)\.", name))]
    return 1 + max(numbers, default=-1)


def _arguments(state: Mapping[str, Tensor], settings: Mapping[str, Any], file: Path, config: Path) -> dict[str, Any]:
    """Arguments of the recipe."""
    embedding = _size(state, "t_modules.0.time_emb.weight", 1, file)
    arguments: dict[str, Any] = {
        "hidden": _size(state, "input_linear.weight", 0, file),
        "embedding": embedding,
        "layers": _count(state, "s_modules"),
        "num_steps": whole_number(settings, "num_timesteps", config),
        "schedule": settings.get("schedule", "linear"),
        "pre_norm": _flag(settings, "pre_norm", config),
        "rescale_timesteps": _flag(settings, "rescale_timesteps", config),
        "prior": "learned" if "ws" in state else "mean",
    }
    if "ws" in state:
        arguments["prior_layers"] = _count(state, "s_modules_ref")
    stated = {"hidden_dim": "hidden", "time_emb_dim": "embedding", "n_layers": "layers", "n_layers_ref": "prior_layers"}
    for key, name in stated.items():
        if key in settings and name in arguments and whole_number(settings, key, config) != arguments[name]:
            what = f"{settings[key]}, where the weights are of {arguments[name]}"
            raise InputError(what, file=config, place=key, mend="give weights and configuration of one model")
    if (
        "learn_ref_frame" in settings
        and _mode(settings, config)
        and _flag(settings, "learn_ref_frame", config) != ("ws" in state)
    ):
        what = f"{settings['learn_ref_frame']}, and the weights hold {'a' if 'ws' in state else 'no'} learned prior"
        raise InputError(what, file=config, place="learn_ref_frame")
    if arguments["schedule"] not in ("linear", "cosine"):
        what = f"{arguments['schedule']!r} is not supported"
        raise InputError(what, file=config, place="schedule", mend="linear and cosine are")
    if number_of(settings.get("scale", 1), "scale", config) != 1:
        # The original scales positions on entry and takes unscaled ones away at the end.
        raise InputError(f"{settings['scale']} is not supported", file=config, place="scale", mend="only 1 is")
    if settings.get("act_fn", "silu") != "silu":
        raise InputError(f"{settings['act_fn']!r} is not supported", file=config, place="act_fn", mend="only silu is")
    return arguments


def _mode(settings: Mapping[str, Any], file: Path) -> bool:
    """Whether the model is conditional."""
    mode = settings.get("mode")
    if mode not in ("cond", "uncond"):
        what = "key is missing" if mode is None else f"{mode!r} is no mode"
        raise InputError(what, file=file, place="mode", mend="give cond or uncond")
    return bool(mode == "cond")


def _flag(settings: Mapping[str, Any], key: str, file: Path) -> bool:
    value = settings.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false", file=file, place=key)
    return value


def _sizes(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], file: Path, config: Path
) -> tuple[dict[str, int], list[int]]:
    """Sizes, and the given frames."""
    hidden = _size(state, "input_linear.weight", 0, file)
    embedding = _size(state, "t_modules.0.time_emb.weight", 1, file)
    frames = whole_number(settings, "frames", config)
    sizes = {
        "nodes": whole_number({"nodes": _PUBLISHED.get(str(settings.get("system"))), **settings}, "nodes", config),
        "frames": frames,
        "space": whole_number({"space": 3, **settings}, "space", config),
        "features": _size(state, "input_linear.weight", 1, file) - embedding,
        "edge_features": _size(state, "s_modules.0.edge_mlp.actions.0.weight", 1, file) - 2 * hidden - 1,
    }
    for key, name in (("node_dim", "features"), ("edge_dim", "edge_features")):
        if key in settings and settings[key] != sizes[name]:
            what = f"{settings[key]}, where the weights are of {sizes[name]}"
            raise InputError(what, file=config, place=key, mend="give weights and configuration of one model")
    if not _mode(settings, config):
        if "given" in settings:
            raise InputError("an unconditional model is given no frames", file=config, place="given")
        return sizes, []
    given = _given(settings, frames, config)
    sizes["given"] = len(given)
    if "ws" in state and len(state["ws"]) != frames - len(given):
        what = f"{len(given)} of {frames} frames, and the weights generate {len(state['ws'])}"
        raise InputError(what, file=config, place="given", mend="give weights and configuration of one model")
    return sizes, given


_PUBLISHED = {"charged": 5, "springs": 5, "gravity": 10}
"""Particles of the published systems."""


def _given(settings: Mapping[str, Any], frames: int, file: Path) -> list[int]:
    """The given frames: as listed, as slices, or so many at the beginning."""
    given = settings.get("given")
    if given is None:
        raise InputError("key is missing", file=file, place="given", mend="write it as 0:10")
    if isinstance(given, int) and not isinstance(given, bool):
        given = f"0:{given}"
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    with told_by(file):
        found: list[int] = np.flatnonzero(given_steps(text, frames, "given")).tolist()
    return found


def _tables(settings: Mapping[str, Any], sizes: Mapping[str, int], given: list[int], file: Path) -> dict[str, Any]:
    """What sampling and completing need of the data."""
    kind = str(settings.get("system", "trajectories"))
    particles = kind in _PARTICLES
    tables: dict[str, Any] = {
        "kind": kind,
        "dt": number_of(settings.get("dt", 0.1 if particles else 1.0), "dt", file),
        "unit": str(settings.get("unit", "")),
        "time_unit": str(settings.get("time_unit", "")),
        "pairs": str(
            settings.get("pairs", "file" if particles else "all and self" if kind == "pedestrians" else "all")
        ),
        "spread": number_of(settings.get("spread", 1.0), "spread", file),
    }
    if given:
        tables["given"] = given
    if "systems" in settings:
        tables["systems"] = settings["systems"]
    elif particles:
        tables["systems"] = _particles(kind, sizes["nodes"])
    elif kind == "pedestrians":
        tables["systems"] = [{"nodes": number, "count": 1} for number in range(1, sizes["nodes"] + 1)]
    else:
        mend = f"list what moved, or give system: {', '.join(_PARTICLES)} or pedestrians"
        raise InputError("key is missing", file=file, place="systems", mend=mend)
    return tables


def _particles(kind: str, nodes: int) -> list[dict[str, Any]]:
    """Systems as they were simulated for the published runs."""
    from scorefield.domains.geometry.observed_systems import observed_systems
    from scorefield.domains.geometry.simulators.generators import particle_trajectories
    from scorefield.domains.geometry.simulators.particles import Clock, simulate_particles

    clock = Clock(2, 1)
    motion = simulate_particles(kind, _SYSTEMS, 0, nodes=nodes, clock=clock)
    return observed_systems(particle_trajectories(kind, motion, clock.dt), np.arange(_SYSTEMS))


def _fitting(weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], file: Path) -> dict[str, Tensor]:
    """The weights that the model has, checked name by name."""
    mend = "give weights and configuration of one model"
    for name in [*expected, *weights]:
        place = name.removeprefix("network.").removeprefix("origin_networks.x.")
        if name not in weights or name not in expected:
            what = "weight is missing" if name not in weights else "weight of no part of this network"
            raise InputError(what, file=file, place=place, mend=mend)
        if tuple(weights[name].shape) != expected[name]:
            what = f"shape {tuple(weights[name].shape)} where the configuration gives {expected[name]}"
            raise InputError(what, file=file, place=place, mend=mend)
        if not weights[name].isfinite().all():
            raise InputError("weights are not finite", file=file, place=place, mend="copy the file anew")
    return {name: weights[name].float() for name in expected}
