"""TSDiff weights of the original project as models of ours.

Sizes of the network are those of its weights. What they do not tell stands in the JSON file beside them: the lengths
of context and forecast, the frequency or the lags, the number of diffusion steps, and whether the input is added to
the output (`init_skip`, which the published configurations choose for each data set).
"""

from __future__ import annotations

import re
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
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.network import TSDiffNetwork
from scorefield.domains.series.tsdiff.recipe import BETAS, TSDiff, published_sampler

__all__ = ["import_tsdiff", "used_weights"]

_NEEDED = "context_length, prediction_length, freq, timesteps, init_skip"
_ALIASES = {
    "context": "context_length",
    "ctx": "context_length",
    "prediction": "prediction_length",
    "pred": "prediction_length",
    "frequency": "freq",
    "T": "timesteps",
    "num_steps": "timesteps",
    "diff_scheduler": "schedule",
    "skip": "init_skip",
    "normalisation": "normalization",
}
_BLOCK = re.compile(r"residual_blocks\.(\d+)\.")
_STATES = "s4block.layer.kernel.kernel.inv_w_real"
_LENGTH = "s4block.layer.kernel.kernel.L"


def import_tsdiff(source: str) -> ImportedModel:
    """An original checkpoint as a model of ours; it is sampled as published by default.

    Args:
        source: see `foreign_weights.weight_files`.

    Raises:
        InputError: a file or key is missing or damaged, or weights do not fit the configuration.
    """
    weight_file, config_file = weight_files(source, _NEEDED)
    settings = {_ALIASES.get(key, key): value for key, value in read_settings(config_file).items()}
    state = _backbone(read_weights(weight_file), weight_file)
    given = bool(_flag(settings, "conditional", config_file, settings.get("model") == "conditional"))
    arguments, sizes = _described(state, settings, given, weight_file, config_file)
    tables = _tables(settings, sizes, given, config_file)
    with told_by(config_file):
        network = TSDiff(**arguments).network(sizes)
    weights = _fitting(used_weights(state, given), network, weight_file)
    network.load_state_dict(weights)  # which turns C into what our models hold, where it has not been
    files = weight_file, config_file
    sampling = published_sampler(arguments["num_steps"])
    record = original_record("series", TSDiff, arguments, sizes, tables, sampling, settings, "dataset", files)
    return ImportedModel(record, {f"network.{name}": value for name, value in network.state_dict().items()}, None)


def used_weights(state: Mapping[str, Tensor], given: bool) -> dict[str, Tensor]:
    """The weights that the original network looks at, without the prefix of its module.

    Args:
        state: names as in the original's network (`input_init.0.weight`, ...).
        given: whether its features are used.
    """
    last = f"residual_blocks.{_blocks(state) - 1}.out_linear1."
    unused = [name for name in state if name.startswith(last) or (not given and ".feature_encoder." in name)]
    return {name: value for name, value in state.items() if name not in unused}


def _blocks(state: Mapping[str, Tensor]) -> int:
    return 1 + max((int(found[1]) for name in state if (found := _BLOCK.match(name))), default=-1)


def _backbone(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The network's own weights; those of scalers, embedders and averages are left out."""
    for prefix in ("backbone.", "sd.backbone.", ""):
        found = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        if "input_init.0.weight" in found:
            return found
    raise InputError("holds no weights of TSDiff", file=file, place="backbone.input_init.0.weight")


def _described(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], given: bool, file: Path, config: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Arguments of the recipe and sizes, from the weights' shapes and what is stated."""

    def size(name: str, axis: int) -> int:
        if name not in state or state[name].ndim <= axis:
            raise InputError("weight is missing", file=file, place=name)
        return int(state[name].shape[axis])

    blocks = _blocks(state)
    if not blocks:
        raise InputError("weight is missing", file=file, place=f"residual_blocks.0.{_STATES}")
    skip = _flag(settings, "init_skip", config, None)
    if skip is None:
        raise InputError("key is missing", file=config, place="init_skip", mend="say true or false")
    _check_stated(settings, config)
    arguments = {
        "width": size("input_init.0.weight", 0),
        "blocks": blocks,
        "embedding": size("time_init.0.weight", 1),
        "states": 2 * size(f"residual_blocks.0.{_STATES}", 1),
        "skip": skip,
        "num_steps": whole_number(settings, "timesteps", config),
    }
    length = whole_number(settings, "context_length", config) + whole_number(settings, "prediction_length", config)
    sizes = {"length": length, "features": size("input_init.0.weight", 1)}
    if given:
        sizes["given"] = size("residual_blocks.0.feature_encoder.weight", 1)
    return arguments, sizes


def _check_stated(settings: Mapping[str, Any], file: Path) -> None:
    """Refuse what the original offers and nobody has published weights of."""
    schedule = str(settings.get("schedule", "linear"))
    if not schedule.startswith("linear"):
        raise InputError(f"{schedule!r} is not supported", file=file, place="schedule", mend="only linear is")
    for key, beta in zip(("beta_start", "beta_end"), BETAS, strict=True):
        if number_of(settings.get(key, beta), key, file) != beta:
            raise InputError(f"{settings[key]} is not supported", file=file, place=key, mend=f"only {beta:g} is")
    if (scaling := settings.get("normalization", "mean")) != "mean":
        raise InputError(f"{scaling!r} is not supported", file=file, place="normalization", mend="only mean is")
    if _flag(settings, "use_features", file, False):
        what = "networks that were given features of time are not supported"
        raise InputError(what, file=file, place="use_features")


def _flag(settings: Mapping[str, Any], key: str, file: Path, default: bool | None) -> bool | None:
    value = settings.get(key, default)
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false", file=file, place=key)
    return value


def _tables(settings: Mapping[str, Any], sizes: Mapping[str, int], given: bool, file: Path) -> dict[str, Any]:
    """What forecasts need of the data; lags as stated, else those published for the frequency."""
    if "freq" not in settings:
        raise InputError("key is missing", file=file, place="freq")
    frequency = Frequency.parse(str(settings["freq"]), file)
    count = sizes["given"] - 2 if given else sizes["features"] - 1
    lags = settings.get("lags")
    if lags is None:
        lags = list(frequency.lags()) if count else []
    if not isinstance(lags, list) or not all(type(lag) is int and lag > 0 for lag in lags):
        raise InputError(f"{lags!r} is no list of steps", file=file, place="lags")
    if len(set(lags)) < len(lags):
        raise InputError(f"{lags!r} names a lag twice", file=file, place="lags")
    if len(lags) != count:
        what = f"{len(lags)} lags, where the weights are of {count}"
        raise InputError(what, file=file, place="lags", mend="list the lags that the model was trained with")
    scale = number_of(settings.get("fallback_scale", 1.0), "fallback_scale", file)
    if scale <= 0:
        mend = "give the mean size of the training values, or leave it out"
        raise InputError(f"{scale:g} is no scale", file=file, place="fallback_scale", mend=mend)
    return {
        "kind": "panel",
        "columns": ["target"],
        "frequency": str(frequency),
        "season": frequency.season,
        "context": whole_number(settings, "context_length", file),
        "prediction": whole_number(settings, "prediction_length", file),
        "lags": lags,
        "fallback_scale": scale,
        "scales": [scale],
    }


def _fitting(weights: Mapping[str, Tensor], network: TSDiffNetwork, file: Path) -> dict[str, Tensor]:
    """The weights that the network has, checked name by name."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    mend = "give weights and configuration of one model"
    for name in [*expected, *weights]:
        if name not in weights or name not in expected:
            what = "weight is missing" if name not in weights else "weight of no part of this network"
            raise InputError(what, file=file, place=name, mend=mend)
        if tuple(weights[name].shape) != expected[name]:
            what = f"shape {tuple(weights[name].shape)} where the configuration gives {expected[name]}"
            raise InputError(what, file=file, place=name, mend=mend)
        if not weights[name].isfinite().all():
            raise InputError("weights are not finite", file=file, place=name, mend="copy the file anew")
        if name.endswith(_LENGTH) and int(weights[name]) not in (0, network.length):
            what = f"trained on windows of {int(weights[name])} steps, the configuration says {network.length}"
            raise InputError(what, file=file, place=name, mend=mend)
    return {name: v.float() if v.is_floating_point() else v for name, v in weights.items()}
