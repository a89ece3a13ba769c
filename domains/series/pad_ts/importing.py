"""PaD-TS weights of the original project as models of ours.

The checkpoints hold neither the columns nor their ranges, which sampling in units of the data needs. The JSON file
beside the weights may state them; for sines, which are published in [0, 1], they are known, and else series are
generated in [0, 1], the scale on which the published scores are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from scorefield.core.importing import ImportedModel
from scorefield.core.settings import SamplerSettings
from scorefield.domains.series.pad_ts.recipe import PaDTS

__all__ = ["import_pad_ts", "published_sampler"]

_UNUSED = "feature2emb.pos_emb.pe"
"""A parameter of the original that its network never looks at."""
_NEEDED = "window, features, hidden_size, num_heads, n_encoder, n_decoder, T"
_ARGUMENTS = {
    "hidden_size": "width",
    "num_heads": "heads",
    "n_encoder": "encoder_layers",
    "n_decoder": "decoder_layers",
    "mlp_ratio": "mlp_ratio",
    "dropout": "dropout",
}
_OWN = {"window", "features", "T", "schedule", "columns", "low", "high", "name", "licence", *_ARGUMENTS}
_ALIASES = {"num_features": "features", "dim": "features", "seq_len": "window", "window_size": "window",
            "diffusion_steps": "T", "timesteps": "T", "noise_schedule": "schedule"}  # fmt: skip


def published_sampler(num_steps: int) -> SamplerSettings:
    """Ancestral sampling over the whole chain with the larger variance, and raw weights."""
    arguments = {"variance": "upper", "grid": "uniform", "final": "denoise"}
    return SamplerSettings("ddpm", num_steps - 1, "raw", arguments)


def import_pad_ts(source: str) -> ImportedModel:
    """An original checkpoint as a model of ours; it is sampled as published by default.

    Args:
        source: see `foreign_weights.weight_files`.

    Raises:
        InputError: a file or key is missing or damaged, or weights do not fit the configuration.
    """
    weight_file, config_file = weight_files(source, _NEEDED)
    stated = {_ALIASES.get(key, key): value for key, value in read_settings(config_file).items()}
    settings = {key: value for key, value in stated.items() if key in _OWN}
    state = read_weights(weight_file)
    arguments, sizes = _arguments(settings, config_file)
    with told_by(config_file):
        expected = {k: tuple(v.shape) for k, v in PaDTS(**arguments).build(sizes).network.state_dict().items()}
    weights = _fitting(state, expected, sizes, weight_file)
    tables = _tables(settings, sizes["features"], config_file)
    files = weight_file, config_file
    sampling = published_sampler(arguments["num_steps"])
    record = original_record("series", PaDTS, arguments, sizes, tables, sampling, settings, "name", files)
    return ImportedModel(record, {f"network.{name}": value for name, value in weights.items()}, None)


def _arguments(settings: Mapping[str, Any], file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Arguments of the recipe, and the sizes."""
    schedule = settings.get("schedule", "cosine")
    if schedule != "cosine":
        raise InputError(f"{schedule!r} is not supported", file=file, place="schedule", mend="only cosine is")
    optional = {"mlp_ratio": 4.0, "dropout": 0.1}
    arguments: dict[str, Any] = {"num_steps": whole_number(settings, "T", file)}
    for key, name in _ARGUMENTS.items():
        if key in optional:
            arguments[name] = number_of(settings.get(key, optional[key]), key, file)
        else:
            arguments[name] = whole_number(settings, key, file)
    return arguments, {
        "length": whole_number(settings, "window", file),
        "features": whole_number(settings, "features", file),
    }


def _fitting(
    state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int], file: Path
) -> dict[str, Tensor]:
    """The weights that the network has, checked name by name."""
    # Fixtures and exports may put the names below a common word.
    common = "sd." if all(name.startswith("sd.") or "." not in name for name in state) else ""
    state = {k.removeprefix(common): v for k, v in state.items() if k.startswith(common)}
    mend = "give weights and configuration of one model"
    for name in [*expected, *state]:
        if name == _UNUSED:
            continue
        if name not in state or name not in expected:
            what = "weight is missing" if name not in state else "weight of no part of this network"
            raise InputError(what, file=file, place=name, mend=mend)
        found, wanted = tuple(state[name].shape), expected[name]
        if found != wanted:
            what = f"shape {found} where the configuration gives {wanted}"
            if name == "time2emb.pos_emb.pe" and len(found) == 3:
                what = f"trained on windows of {found[1]} steps, the configuration says {sizes['length']}"
            raise InputError(what, file=file, place=name, mend=mend)
        if not state[name].isfinite().all():
            raise InputError("weights are not finite", file=file, place=name, mend="copy the file anew")
    return {name: state[name].float() for name in expected}


def _tables(settings: Mapping[str, Any], features: int, file: Path) -> dict[str, Any]:
    """Columns and ranges as stated; else x0, x1, ... from 0 to 1."""
    tables: dict[str, Any] = {"kind": "series", "columns": [f"x{d}" for d in range(features)]}
    tables |= {"low": [0.0] * features, "high": [1.0] * features}
    for key in ("columns", "low", "high"):
        if key in settings:
            value = settings[key]
            if not isinstance(value, list) or len(value) != features:
                raise InputError(f"needs a list of {features}", file=file, place=key)
            tables[key] = [str(v) for v in value] if key == "columns" else [number_of(v, key, file) for v in value]
    return tables
