"""Files in which models of other projects come: weights, and a JSON file that says how to build them; and records.

Nothing but plain data is read from them.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.checkpoints import ModelRecord
from scorefield.core.errors import InputError
from scorefield.core.settings import SamplerSettings

__all__ = [
    "number_of",
    "original_record",
    "read_settings",
    "read_weights",
    "told_by",
    "weight_files",
    "whole_number",
]


def weight_files(source: str, needed: str) -> tuple[Path, Path]:
    """The files of weights and configuration.

    Args:
        source: PREFIX of `PREFIX.safetensors` and `PREFIX.config.json`, or an original checkpoint (`.pth`, `.pt`)
            with such a JSON file beside it, under its name without the suffix or with `.config.json` behind it.
        needed: what the configuration must say, for messages.

    Raises:
        InputError: one of them is not there.
    """
    given = Path(source)
    if given.is_file():
        beside = [given.with_suffix(".config.json"), Path(f"{source}.config.json")]
        found = next((path for path in beside if path.is_file()), None)
        if found is None:
            mend = f"write {needed} into {beside[0].name}"
            raise InputError("a checkpoint without its configuration", file=given, mend=mend)
        return given, found
    parts = Path(f"{source}.safetensors"), Path(f"{source}.config.json")
    for path in parts:
        if not path.is_file():
            mend = "give PREFIX of PREFIX.safetensors and PREFIX.config.json, or a .pth file"
            raise InputError("no such file", file=path, mend=mend)
    return parts


def read_settings(file: Path) -> dict[str, Any]:
    """The configuration, flat: constructor arguments may stand in a table of their own.

    Raises:
        InputError: it cannot be read, or is no table.
    """
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
    return flat


def whole_number(settings: Mapping[str, Any], key: str, file: Path) -> int:
    """A whole number above 0.

    Raises:
        InputError: it is missing, or none.
    """
    if key not in settings:
        raise InputError("key is missing", file=file, place=key)
    try:
        value = int(settings[key])
    except (TypeError, ValueError, OverflowError):  # the last for Infinity, which JSON files may hold
        value = 0
    if value < 1 or isinstance(settings[key], bool) or str(value) != str(settings[key]):
        raise InputError(f"{settings[key]!r} is no whole number above 0", file=file, place=key)
    return value


def number_of(value: Any, key: str, file: Path) -> float:
    """A finite number.

    Raises:
        InputError: it is none.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise InputError(f"{value!r} is no number", file=file, place=key) from None
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no finite number", file=file, place=key)
    return number


@contextmanager
def told_by(config: Path) -> Iterator[None]:
    """What cannot be built names the configuration that tells how.

    Raises:
        InputError: what was raised inside, with the file.
    """
    try:
        yield
    except InputError as error:
        raise InputError(str(error), file=config) from error


def original_record(
    domain: str,
    recipe: type,
    arguments: dict[str, Any],
    sizes: dict[str, int],
    tables: dict[str, Any],
    sampling: SamplerSettings,
    settings: Mapping[str, Any],
    naming: str,
    files: tuple[Path, Path],
) -> ModelRecord:
    """What `model.json` says of an imported model.

    Args:
        domain: where the model belongs.
        recipe: the class of the recipe.
        arguments: its arguments.
        sizes: what the data fixed.
        tables: what sampling needs of the data.
        sampling: the published sampler.
        settings: the configuration, which may tell the licence.
        naming: its key that names the data set.
        files: weights and configuration.
    """
    provenance = {
        "name": str(settings.get(naming, "not stated")),
        "weights": f"imported from {files[0].name}, {files[1].name}",
        "licence": str(settings.get("licence", "the weights are their authors' work; see their source")),
    }
    return ModelRecord(
        domain=domain,
        system={"class_path": f"{recipe.__module__}.{recipe.__name__}", "init_args": arguments},
        sizes=sizes,
        tables=tables,
        sampling=asdict(sampling),
        data={"provenance": provenance},
    )


def read_weights(file: Path) -> dict[str, Tensor]:
    """The weights of a `.safetensors` file or of an original checkpoint, by their names there.

    Raises:
        InputError: it cannot be read, or holds no weights.
    """
    state = _original(file) if file.suffix != ".safetensors" else _tensors(file)
    return {name.removeprefix("module."): value for name, value in state.items()}


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
        raise InputError("holds no table of weights", file=file, mend="give a checkpoint of the original project")
    return {str(name): value for name, value in stored.items()}
