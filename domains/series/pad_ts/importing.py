"""PaD-TS weights of the original project as models of ours.

The checkpoints hold neither the columns nor their ranges, which sampling in units of the data needs. The JSON file
beside the weights may state them; for sines, which are published in [0, 1], they are known, and else series are
generated in [0, 1], the scale on which the published scores are computed.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.checkpoints import ModelRecord
from scorefield.core.errors import InputError
from scorefield.core.importing import ImportedModel
from scorefield.core.settings import SamplerSettings
from scorefield.domains.series.pad_ts.recipe import PaDTS

__all__ = ["import_pad_ts", "published_sampler"]

_UNUSED = "feature2emb.pos_emb.pe"
"""A parameter of the original that its network never looks at."""
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
        source: PREFIX of `PREFIX.safetensors` and `PREFIX.config.json`, or an original checkpoint (`.pth`, `.pt`)
            with such a JSON file beside it, under its name without the suffix or with `.config.json` behind it.

    Raises:
        InputError: a file or key is missing or damaged, or weights do not fit the configuration.
    """
    weight_file, config_file = _files(source)
    settings = _settings(config_file)
    state = _original(weight_file) if weight_file.suffix != ".safetensors" else _tensors(weight_file)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    arguments, sizes = _arguments(settings, config_file)
    try:
        expected = {k: tuple(v.shape) for k, v in PaDTS(**arguments).build(sizes).network.state_dict().items()}
    except InputError as error:
        raise InputError(str(error), file=config_file) from error
    weights = _fitting(state, expected, sizes, weight_file)
    features = sizes["features"]
    record = ModelRecord(
        domain="series",
        system={"class_path": f"{PaDTS.__module__}.{PaDTS.__name__}", "init_args": arguments},
        sizes=sizes,
        tables=_tables(settings, features, config_file),
        sampling=asdict(published_sampler(arguments["num_steps"])),
        data={
            "provenance": {
                "name": str(settings.get("name", "not stated")),
                "weights": f"imported from {weight_file.name}, {config_file.name}",
                "licence": str(settings.get("licence", "the weights are their authors' work; see their source")),
            }
        },
    )
    return ImportedModel(record, {f"network.{name}": value for name, value in weights.items()}, None)


def _files(source: str) -> tuple[Path, Path]:
    given = Path(source)
    if given.is_file():
        beside = [given.with_suffix(".config.json"), Path(f"{source}.config.json")]
        found = next((path for path in beside if path.is_file()), None)
        if found is None:
            mend = f"write window, features, hidden_size, num_heads, n_encoder, n_decoder, T into {beside[0].name}"
            raise InputError("a checkpoint without its configuration", file=given, mend=mend)
        return given, found
    parts = Path(f"{source}.safetensors"), Path(f"{source}.config.json")
    for path in parts:
        if not path.is_file():
            mend = "give PREFIX of PREFIX.safetensors and PREFIX.config.json, or a .pth file"
            raise InputError("no such file", file=path, mend=mend)
    return parts


def _settings(file: Path) -> dict[str, Any]:
    """The configuration, flat: constructor arguments may stand in a table of their own."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg})", file=file, place=f"line {error.lineno}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read", file=file) from error
    if not isinstance(content, dict):
        raise InputError("not a table of keys", file=file)
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return {_ALIASES.get(key, key): value for key, value in flat.items() if _ALIASES.get(key, key) in _OWN}


def _arguments(settings: Mapping[str, Any], file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Arguments of the recipe, and the sizes."""
    schedule = settings.get("schedule", "cosine")
    if schedule != "cosine":
        raise InputError(f"{schedule!r} is not supported", file=file, place="schedule", mend="only cosine is")
    optional = {"mlp_ratio": 4.0, "dropout": 0.1}
    arguments: dict[str, Any] = {"num_steps": _whole(settings, "T", file)}
    for key, name in _ARGUMENTS.items():
        if key in optional:
            arguments[name] = _number(settings.get(key, optional[key]), key, file)
        else:
            arguments[name] = _whole(settings, key, file)
    return arguments, {"length": _whole(settings, "window", file), "features": _whole(settings, "features", file)}


def _whole(settings: Mapping[str, Any], key: str, file: Path) -> int:
    if key not in settings:
        raise InputError("key is missing", file=file, place=key)
    try:
        value = int(settings[key])
    except (TypeError, ValueError):
        value = 0
    if value < 1 or isinstance(settings[key], bool) or str(value) != str(settings[key]):
        raise InputError(f"{settings[key]!r} is no whole number above 0", file=file, place=key)
    return value


def _number(value: Any, key: str, file: Path) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{value!r} is no number", file=file, place=key) from None


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"damaged ({error})", file=file, mend="copy the file anew") from error


def _original(file: Path) -> dict[str, Tensor]:
    """The weights of an original checkpoint; nothing but plain data is read from it."""
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = "damaged, or holds more than plain data"
        raise InputError(what, file=file, mend="save its state dictionary as safetensors") from error
    except Exception as error:  # whatever the reader stumbles over, the file is not such a checkpoint
        raise InputError(f"damaged, or not a checkpoint ({type(error).__name__})", file=file) from error
    for key in ("model_state_dict", "state_dict", "model", "ema"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
            break
    if not isinstance(stored, dict) or not stored or not all(isinstance(v, Tensor) for v in stored.values()):
        raise InputError("holds no table of weights", file=file, mend="give a PaD-TS checkpoint")
    return {str(name): value for name, value in stored.items()}


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
            tables[key] = [str(v) for v in value] if key == "columns" else [_number(v, key, file) for v in value]
    return tables
