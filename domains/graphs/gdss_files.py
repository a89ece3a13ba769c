"""The files that GDSS weights come in: original checkpoints (`.pth`), and safetensors with a JSON file.

An original checkpoint is a pickle. It is read by a loader that builds plain data only; the one class it needs,
the attribute dictionary of its configuration, is replaced by an ordered dictionary.
"""

from __future__ import annotations

import json
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.errors import InputError

__all__ = ["Checkpoint", "read_checkpoint"]

PARTS = ("x", "adj")


@dataclass(frozen=True)
class Checkpoint:
    """A GDSS checkpoint as it is stored.

    Attributes:
        config: the training configuration.
        params: constructor arguments of each network, `x` and `adj`.
        weights: state dictionary of each network, in the order of its parameters where the file keeps it.
        averages: averaged weights of each network by name, or None.
        config_file: the file that holds the configuration.
        weight_files: the file that holds each network's weights.
    """

    config: dict[str, Any]
    params: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, Tensor]]
    averages: dict[str, dict[str, Tensor]] | None
    config_file: Path
    weight_files: dict[str, Path]


def read_checkpoint(source: str) -> Checkpoint:
    """Read a checkpoint.

    Args:
        source: an original checkpoint, or PREFIX for `PREFIX.x.safetensors`, `PREFIX.adj.safetensors`,
            `PREFIX.config.json` and, where there are averages, `PREFIX.ema_x.safetensors`,
            `PREFIX.ema_adj.safetensors`.

    Raises:
        InputError: a file or a key is missing, or damaged.
    """
    if Path(source).is_file():
        return _read_original(Path(source))
    files = {part: Path(f"{source}.{part}.safetensors") for part in PARTS}
    config_file = Path(f"{source}.config.json")
    if not any(file.exists() for file in [*files.values(), config_file]):
        mend = "give a .pth file, or PREFIX of PREFIX.x.safetensors, PREFIX.adj.safetensors, PREFIX.config.json"
        raise InputError("no such checkpoint", file=source, mend=mend)
    stored = _read_json(config_file)
    averages = {part: Path(f"{source}.ema_{part}.safetensors") for part in PARTS}
    return Checkpoint(
        _mapping(stored, "config", config_file),
        {part: _mapping(stored, f"params_{part}", config_file) for part in PARTS},
        {part: _read_tensors(file) for part, file in files.items()},
        _read_averages(averages),
        config_file,
        files,
    )


def _read_averages(files: Mapping[str, Path]) -> dict[str, dict[str, Tensor]] | None:
    if not any(file.exists() for file in files.values()):
        return None
    return {part: _read_tensors(file) for part, file in files.items()}


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return _without_wrapper(safetensors.torch.load(file.read_bytes()))
    except FileNotFoundError:
        raise InputError("no such file", file=file, mend="all parts must have the same prefix") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"damaged ({error})", file=file, mend="copy the file anew") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", file=file, mend="all parts must have the same prefix") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}"
        raise InputError(f"not JSON ({error.msg})", file=file, place=place, mend="copy the file anew") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"cannot be read ({reason})", file=file) from error
    if not isinstance(content, dict):
        raise InputError("not a table of keys", file=file)
    return content


def _read_original(file: Path) -> Checkpoint:
    stored = _unpickle(file)
    weights = {part: _state(stored, f"{part}_state_dict", file) for part in PARTS}
    averages = None
    if any(f"ema_{part}" in stored for part in PARTS):
        averages = {part: _named_shadows(stored, part, weights[part], file) for part in PARTS}
    return Checkpoint(
        _mapping(stored, "model_config", file),
        {part: _mapping(stored, f"params_{part}", file) for part in PARTS},
        weights,
        averages,
        file,
        dict.fromkeys(PARTS, file),
    )


def _unpickle(file: Path) -> Any:
    try:
        with torch.serialization.safe_globals([(OrderedDict, "easydict.EasyDict")]):
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL:? (\S+)", str(error))
        reason = f"it names {found[1]}" if found else type(error).__name__
        what = f"damaged, or holds more than plain data ({reason})"
        raise InputError(what, file=file, mend="give an original GDSS checkpoint") from error
    except Exception as error:  # whatever the reader stumbles over, the file is not such a checkpoint
        what = f"damaged, or not a checkpoint ({type(error).__name__})"
        raise InputError(what, file=file, mend="copy the file anew") from error
    if not isinstance(stored, dict):
        raise InputError("not a GDSS checkpoint: not a table of keys", file=file)
    return stored


def _mapping(tree: Mapping[str, Any], key: str, file: Path) -> dict[str, Any]:
    if not isinstance(tree.get(key), dict):
        what = "key is missing" if key not in tree else "not a table of keys"
        raise InputError(what, file=file, place=key, mend="give a complete GDSS checkpoint")
    plain: dict[str, Any] = _plain(tree[key])
    return plain


def _plain(value: Any) -> Any:
    """Attribute dictionaries as plain ones, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _state(stored: Mapping[str, Any], key: str, file: Path) -> dict[str, Tensor]:
    state = stored.get(key)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        what = "key is missing" if key not in stored else "not a table of tensors"
        raise InputError(what, file=file, place=key, mend="give a complete GDSS checkpoint")
    return _without_wrapper(state)


def _without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix of a network that was trained on several devices."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def _named_shadows(
    stored: Mapping[str, Any], part: str, weights: Mapping[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """The unnamed list of averages, in the order of the parameters, which is that of the state dictionary."""
    key = f"ema_{part}"
    shadows = _mapping(stored, key, file).get("shadow_params")
    if not isinstance(shadows, list) or not all(isinstance(value, Tensor) for value in shadows):
        raise InputError("not a list of tensors", file=file, place=f"{key}.shadow_params")
    if [value.shape for value in shadows] != [value.shape for value in weights.values()]:
        what = f"{len(shadows)} averages do not match the {len(weights)} parameters of {part}_state_dict"
        raise InputError(what, file=file, place=f"{key}.shadow_params")
    return dict(zip(weights, shadows, strict=True))
