"""Windows of a panel that a run makes up: what is drawn for them, and their way back into units of the data.

Windows are learnt in units of their context's mean size, so that a window made up has no scale of its own. It takes one
of the training windows' scales at random, or the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from scorefield.core.state import State
    from scorefield.domains.series.samples import SeriesSamples

__all__ = ["SCALE", "check_panel", "decode_panel", "draw_panel", "frame_panel", "is_panel"]

SCALE = "scale"
"""Entry of a state's condition with the scale of each window, `[B]`; the network does not see it."""


def is_panel(tables: Mapping[str, Any]) -> bool:
    """Whether these are tables of a panel."""
    return tables.get("kind") == "panel"


def check_panel(tables: Mapping[str, Any], sizes: Mapping[str, int], file: Path) -> None:
    """Find tables that cannot be sampled with.

    Raises:
        InputError: a table is missing or does not fit; the file and the key are named.
    """
    for name in ("context", "prediction"):
        if not _whole(tables.get(name)):
            raise InputError(f"{tables.get(name)!r} is no number of steps", file=file, place=f"tables.{name}")
    if tables["context"] + tables["prediction"] != sizes["length"]:
        what = f"{tables['context']} + {tables['prediction']} steps where a window has {sizes['length']}"
        raise InputError(what, file=file, place="tables.prediction")
    lags = tables.get("lags")
    if not isinstance(lags, list) or not all(map(_whole, lags)):
        raise InputError("needs a list of steps", file=file, place="tables.lags")
    channels = sizes["given"] - 1 if "given" in sizes else sizes["features"]
    if len(lags) != channels - 1:
        what = f"{len(lags)} lags where the network takes {channels - 1}"
        raise InputError(what, file=file, place="tables.lags")
    scales = tables.get("scales")
    if not isinstance(scales, list) or not scales or not all(map(_positive, scales)):
        raise InputError("needs numbers above 0", file=file, place="tables.scales")
    if not _positive(tables.get("fallback_scale")):
        raise InputError("needs a number above 0", file=file, place="tables.fallback_scale")


def draw_panel(
    num: int, tables: Mapping[str, Any], generator: torch.Generator, condition: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """`series` numbers the rows, `scale` is the scale of each, float64 `[num]`.

    Raises:
        InputError: an unknown condition, or a scale that is no number above 0.
    """
    import torch

    given = dict(condition or {})
    asked = given.pop(SCALE, None)
    if given:
        raise InputError(f"unknown condition {min(given)!r}", mend="panels take scale")
    if asked is None:
        scales = torch.tensor(tables["scales"], dtype=torch.float64)
        drawn = scales[torch.randint(len(scales), (num,), generator=generator)]
    else:
        drawn = torch.full((num,), _scale(asked), dtype=torch.float64)
    return {"series": torch.arange(num), SCALE: drawn}


def frame_panel(drawn: Mapping[str, Tensor], sizes: Mapping[str, int]) -> State:
    """Zeros, and the scales.

    Raises:
        InputError: the run knows windows only with what is given of them.
    """
    import torch

    from scorefield.core.state import State

    if "given" in sizes:
        what = "this run makes forecasts from a history that is given, and nothing up"
        raise InputError(what, mend="take a run that was trained without a condition")
    zeros = torch.zeros(len(drawn["series"]), sizes["length"], sizes["features"])
    return State({"x": zeros}, {}, {SCALE: drawn[SCALE]})


def decode_panel(state: State, tables: Mapping[str, Any]) -> SeriesSamples:
    """The series itself, without its lags, in units of the data."""
    from scorefield.domains.series.samples import SeriesSamples

    scale = state.condition[SCALE].detach().cpu().double()
    x = state["x"][..., :1].detach().cpu().double() * scale[:, None, None]
    return SeriesSamples(x.numpy(), tuple(tables["columns"]))


def _scale(asked: Any) -> float:
    try:
        value = float(asked)
    except (TypeError, ValueError):
        value = 0.0
    if not _positive(value):
        raise InputError(f"scale={asked}", mend="give a number above 0")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
