"""An animation of real beside generated trajectories: one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.files import atomic
from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR
from scorefield.core.statistics.statistic import generator_of
from scorefield.domains.geometry.statistics.population import ComparedTrajectories

__all__ = ["Side", "animation_html", "motion_html", "write_animation"]

_SHOWN = 12  # trajectories of either set
_MOST_NUMBERS = 400_000  # on a page: fewer trajectories are shown where they are large
_TRAIL = 12  # frames
_PAUSE, _LOOP = 110, 4000  # milliseconds: of a frame at most, and of one run of many frames
_COLOURS = (REAL_COLOUR, GENERATED_COLOUR, "#2f7f86", "#7a5ea8")


@dataclass(frozen=True)
class Side:
    """What one half of the page shows.

    Args:
        name: above it.
        x: positions of each trajectory, `[N, T, D]`, all with as many frames.
        bonds: of each trajectory, `[b, 2]`.
    """

    name: str
    x: Sequence[NDArray[np.floating[Any]]]
    bonds: Sequence[NDArray[np.int64]]


def animation_html(
    real: ComparedTrajectories,
    generated: ComparedTrajectories,
    *,
    seed: int = 0,
    names: tuple[str, str] = ("real", "generated"),
) -> str:
    """Random trajectories of both sets, in turn."""
    size = max(part.x[0].size for part in (real, generated))
    number = max(1, min(_SHOWN, len(real), len(generated), _MOST_NUMBERS // (2 * size)))
    sides = []
    for kind, name, part in zip(("real", "generated"), names, (real, generated), strict=True):
        rows = generator_of(seed, f"shown {kind}").permutation(len(part))[:number]
        x = [part.x[row][part.trajectories.mask[row]] for row in rows]
        bonds = np.zeros((0, 2), dtype=np.int64) if part.molecule is None else part.molecule.bonds
        sides.append(Side(kind if name == kind else f"{kind}: {Path(name).name}", x, [bonds] * number))
    note = "Drawn at random; the two sides have nothing to do with each other."
    return motion_html(sides, f"{Path(names[0]).name} and {Path(names[1]).name}", note)


def motion_html(sides: Sequence[Side], title: str, note: str = "", given: Sequence[int] = ()) -> str:
    """A page with one moving picture a side, on one scale: the truth beside its forecasts, say.

    Args:
        sides: what is shown, at least one trajectory each; trajectory k of all sides is shown at once.
        title: of the page.
        note: below the pictures.
        given: frames that were given.

    Raises:
        ValueError: no side, or trajectories with other numbers of frames or dimensions.
    """
    parts = [np.asarray(x) for side in sides for x in side.x]
    if not parts or len({part.shape[1:] for part in parts}) != 1:
        raise ValueError("an animation takes trajectories [N, T, D] of as many frames and dimensions")
    frames, space = parts[0].shape[1:]
    number = max(len(side.x) for side in sides)
    views = [_view([np.asarray(side.x[k % len(side.x)]) for side in sides]) for k in range(number)]
    digits = max(0, 4 - int(np.floor(np.log10(min(reach for _, reach in views)))))
    scene = {
        "space": space,
        "frames": frames,
        "number": number,
        "centres": [centre for centre, _ in views],
        "reaches": [reach for _, reach in views],
        "trail": _TRAIL,
        "pause": min(_PAUSE, max(25, _LOOP // frames)),
        "given": list(given),
        "sides": [
            {
                "name": side.name,
                "colour": colour,
                "x": [np.round(np.asarray(x, dtype=np.float64), digits).tolist() for x in side.x],
                "bonds": [np.asarray(bonds).tolist() for bonds in side.bonds],
            }
            for side, colour in zip(sides, _cycled(len(sides)), strict=True)
        ],
    }
    turn = "" if space == 2 else " Drag to turn."
    page = files("scorefield.domains.geometry.statistics").joinpath("animation.html").read_text(encoding="utf-8")
    said = {"title": escape(title), "note": escape(f"{note}{turn}".strip()), "across": str(min(len(sides), 2))}
    for name, text in (*said.items(), ("scene", _script(scene))):
        page = page.replace(f"@{name}@", text)
    return page


def _view(parts: list[NDArray[Any]]) -> tuple[list[float], float]:
    """Middle and half width of what is shown at once."""
    flat = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts]).astype(np.float64)
    centre = (flat.min(0) + flat.max(0)) / 2
    return centre.tolist(), max(float(np.abs(flat - centre).max()), 1e-9)


def _cycled(number: int) -> list[str]:
    return [_COLOURS[k % len(_COLOURS)] for k in range(number)]


def _script(scene: dict[str, Any]) -> str:
    """JSON that may stand in a script: no text in it can end the script."""
    return json.dumps(scene, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def write_animation(page: str, path: str | Path) -> None:
    """Write a page, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
