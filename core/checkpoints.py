"""A run's model on disk: what to build (`model.json`) and its weights (`model.safetensors`).

Both may have been downloaded, so nothing is unpickled, class paths are confined to this suite and to packages
that registered a domain, and the weights must have the hash that the JSON file states: SHA-256 over the
names, types, shapes and bytes of all tensors in the order of their names.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.domains import is_trusted
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.runs import FORMAT, Run
from scorefield.core.system import System

__all__ = [
    "FORMAT",
    "RECORD_FILE",
    "WEIGHTS_FILE",
    "ModelRecord",
    "Which",
    "instantiate",
    "load_record",
    "load_system",
    "load_weights",
    "save_model",
    "weights_hash",
]

RECORD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
_RENAMING = 0.2  # seconds, far more than two renames take

Which = Literal["raw", "ema"]


@dataclass(frozen=True)
class ModelRecord:
    """What `model.json` holds.

    Attributes:
        domain: name of the domain, as registered.
        system: the recipe, `{"class_path", "init_args"}`; its `build(sizes)` makes the system.
        sizes: what the data fixes (`{"features": 4, "max_nodes": 9}`).
        tables: JSON-able facts of the training data that sampling needs.
        sampling: defaults, `{"solver", "steps", "weights", "arguments"}`.
        data: `{"class_path", "init_args", "provenance"}` of the training data, with its licence.
        weights_hash: hash of the weights beside it; `save_model` fills it in.
        format: number of this format.
    """

    domain: str
    system: dict[str, Any]
    sizes: dict[str, int]
    tables: dict[str, Any]
    sampling: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    weights_hash: str = ""
    format: int = FORMAT


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hexadecimal) over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{value.dtype}|{list(value.shape)}|".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(
    folder: str | Path, record: ModelRecord, raw: Mapping[str, Tensor], ema: Mapping[str, Tensor] | None
) -> ModelRecord:
    """Write both files of a run.

    Args:
        folder: the run's folder, made where missing.
        record: what to write; its `weights_hash` is replaced by that of the weights.
        raw: the system's state dictionary.
        ema: the averaged one, if there is one.

    Returns:
        The record as written.

    Raises:
        InputError: the folder cannot be written to, or the record is not JSON-able.
    """
    folder = Path(folder)
    named = {f"raw.{name}": value for name, value in raw.items()}
    named |= {f"ema.{name}": value for name, value in (ema or {}).items()}
    # Cloned: tied parameters share memory, which the format refuses.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}
    record = replace(record, weights_hash=weights_hash(tensors), format=FORMAT)
    try:
        text = json.dumps(asdict(record), indent=1)
    except TypeError as error:
        raise InputError(f"the record is not JSON-able ({error})", file=folder / RECORD_FILE) from error
    # Both are written before either is renamed: a reader hardly ever meets one without the other.
    with atomic(folder / RECORD_FILE) as record_file, atomic(folder / WEIGHTS_FILE) as weights_file:
        weights_file.write_bytes(safetensors.torch.save(tensors))
        record_file.write_text(text + "\n", encoding="utf-8")
    return record


def load_record(folder: str | Path) -> ModelRecord:
    """Read `model.json`.

    Raises:
        InputError: it is missing, not JSON or of another format, or a key is missing, unknown or mistyped.
    """
    run = Run(Path(folder))
    values, types = run.model, {"domain": str, "weights_hash": str, "format": int}
    known = {entry.name: types.get(entry.name, dict) for entry in fields(ModelRecord)}
    for name in [*known, *values]:
        if name not in known:
            raise InputError("unknown key", file=run.model_file, place=name)
        if not isinstance(values.get(name), known[name]):
            what = f"not a {known[name].__name__}" if name in values else "key is missing"
            raise InputError(what, file=run.model_file, place=name, mend="copy the run anew")
    _check_sampling(values["sampling"], run.model_file)
    return ModelRecord(**values)


def _check_sampling(sampling: Mapping[str, Any], file: Path) -> None:
    for name, kind in (("solver", str), ("steps", int), ("weights", str), ("arguments", dict)):
        value = sampling.get(name)
        if name in sampling and (not isinstance(value, kind) or isinstance(value, bool)):
            raise InputError(f"{value!r} is no {kind.__name__}", file=file, place=f"sampling.{name}")


def load_weights(folder: str | Path, which: Which = "raw") -> dict[str, Tensor]:
    """Read one set of weights, after checking the hash of all.

    Args:
        folder: the run's folder.
        which: `raw` or `ema`.

    Returns:
        A state dictionary for the system.

    Raises:
        InputError: a file is missing or damaged, the hash differs, or there are no weights of this kind.
    """
    if which not in get_args(Which):
        raise InputError(f"unknown weights {which!r}", mend="give raw or ema")
    path = Path(folder) / WEIGHTS_FILE
    tensors = _read_tensors(path)
    whole = weights_hash(tensors) == load_record(folder).weights_hash
    if not whole:  # a training that writes just now has renamed one file and will rename the other
        time.sleep(_RENAMING)
        tensors = _read_tensors(path)
        whole = weights_hash(tensors) == load_record(folder).weights_hash
    if not whole:
        what = f"the weights are not those that {RECORD_FILE} states (the hash differs)"
        raise InputError(what, file=path, mend="copy the run anew")
    chosen = {name[len(which) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{which}.")}
    if tensors and not chosen:
        raise InputError(f"holds no {which} weights", file=path, mend="choose others with --weights")
    return chosen


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except FileNotFoundError:
        raise InputError("no such file", file=path, mend="give the folder of a finished run") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"damaged ({error})", file=path, mend="copy the run anew") from error


def instantiate(spec: Any, file: str | Path | None = None) -> Any:
    """Build what `{"class_path": ..., "init_args": {...}}` names, arguments first.

    Args:
        spec: the description; lists and dictionaries in it are searched for further ones, other values stay.
        file: the file it stands in, for errors.

    Raises:
        InputError: a class is unknown or not allowed, or does not take its arguments.
    """
    if isinstance(spec, list):
        return [instantiate(value, file) for value in spec]
    if not isinstance(spec, dict):
        return spec
    if "class_path" not in spec:
        return {key: instantiate(value, file) for key, value in spec.items()}
    path, arguments = spec["class_path"], spec.get("init_args") or {}
    if not isinstance(path, str) or not isinstance(arguments, dict):
        raise InputError("needs a class_path (text) and init_args (a mapping)", file=file, place="class_path")
    found = _find_class(path, file)
    arguments = instantiate(arguments, file)
    try:
        return found(**arguments)
    except TypeError as error:
        raise InputError(f"{error}", file=file, place=path, mend="check init_args") from error


def _find_class(path: str, file: str | Path | None) -> type:
    """The class of this path; its own module must be allowed too, not only one that imports it."""
    module, _, name = path.rpartition(".")
    if not is_trusted(module):
        what, mend = (
            f"{path} is not of scorefield or of an installed domain",
            "install its package if you trust it",
        )
        raise InputError(what, file=file, place="class_path", mend=mend)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"no class {path} ({error})", file=file, place="class_path") from error
    if not isinstance(found, type) or not is_trusted(found.__module__):
        raise InputError(f"{path} is no class of its own module", file=file, place="class_path")
    return found


def load_system(folder: str | Path, which: Which = "raw") -> System:
    """The system of a run with its weights, in evaluation mode and frozen.

    Raises:
        InputError: as `load_record`, `load_weights` and `instantiate`; or the weights do not fit the system.
    """
    folder = Path(folder)
    record, file = load_record(folder), folder / RECORD_FILE
    recipe = instantiate(record.system, file)
    if not callable(getattr(recipe, "build", None)):
        raise InputError("not a recipe of a system", file=file, place="system")
    try:
        system: System = recipe.build(record.sizes)
    except (KeyError, TypeError) as error:
        raise InputError(f"the system cannot be built ({error!r})", file=file, place="sizes") from error
    try:
        system.load_state_dict(load_weights(folder, which))
    except RuntimeError as error:
        what = str(error).splitlines()[-1].strip()
        raise InputError(f"the weights do not fit the system ({what})", file=folder / WEIGHTS_FILE) from error
    return system.eval().requires_grad_(False)
