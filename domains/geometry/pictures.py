"""Pictures of completed trajectories: some of them in space, and errors against the horizon; a page that moves."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from scorefield.core.files import atomic
from scorefield.core.report.figures import png_bytes, svg_text
from scorefield.domains.geometry.answers import Completions
from scorefield.domains.geometry.statistics.animation import Side, motion_html
from scorefield.domains.geometry.statistics.error_figures import draw_errors, errors_svg

__all__ = ["draw_completions"]

Array = NDArray[np.float64]
_SHOWN = 4  # trajectories in space
_MOVING = 8  # trajectories that move
_PATHS = 3  # paths of each


def draw_completions(found: Completions, file: Path, what: str) -> None:
    """Write a picture; of many trajectories the first ones, evenly."""
    paths = found.paths.shape[1]
    title = f"{what} of {found.known.title}: {paths} path{'s' if paths > 1 else ''} of {len(found)} trajectories"
    kind = file.suffix.lower()
    if kind == ".html":
        content = _page(found, title).encode()
    else:
        canvas = _canvas(found, title)
        content = png_bytes(canvas) if kind == ".png" else svg_text(canvas).encode()
    with atomic(file) as temporary:
        temporary.write_bytes(content)


def _chosen(found: Completions, number: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(found) - 1, min(number, len(found))).round().astype(np.int64))


def _canvas(found: Completions, title: str) -> Canvas:
    rows = _chosen(found, _SHOWN)
    scored = found.scores
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.08, hspace=0.06)
    canvas = Canvas(figsize=(11.0, 7.2 if scored else 3.6), layout=layout)
    upper: Any = canvas
    lower: Any = None
    if scored:
        upper, lower = np.asarray(canvas.subfigures(2, 1, height_ratios=[1, 0.85])).ravel()
    three = found.paths.shape[-1] == 3
    for place, row in enumerate(rows):
        axis: Any = upper.add_subplot(1, len(rows), place + 1, projection="3d" if three else None)
        _draw(axis, found, int(row))
        axis.set_title(f"trajectory {found[int(row)].number}", fontsize=9, loc="left")
    note = "black: given, grey: truth, colours: sampled paths of each node; dots: where they end"
    canvas.suptitle(f"{title}\n{note}", fontsize=10, x=0.01, ha="left")
    if scored and lower is not None:
        others = {name: part for name, part in scored.items() if name != "model"}
        draw_errors(
            lower.subplots(), scored["model"], others, dt=found.known.trajectories.dt,
            unit=str(found.tables.get("unit", "")),
        )  # fmt: skip
    return canvas


def _draw(axis: Any, found: Completions, row: int) -> None:
    answer, mask = found[row], found.known.trajectories.mask[found[row].number]
    x = found.paths[row][:_PATHS, mask, : answer.x.shape[1]]
    truth = np.where(answer.missing[..., None], answer.truth, answer.x)[mask]
    missing = answer.missing[mask]
    colours = matplotlib.colormaps["turbo"](np.linspace(0.08, 0.92, int(mask.sum())))
    for node, colour in enumerate(colours):
        for path in x[:, node]:
            shown = np.where(_widened(missing[node])[:, None], path, np.nan)
            axis.plot(*shown.T, color=colour, linewidth=1.0, alpha=0.8)
            axis.scatter(*path[-1:].T, color=[colour], s=9)
        axis.plot(*np.where(_widened(missing[node])[:, None], truth[node], np.nan).T, color="#8a9aa5", linewidth=2.4,
                  alpha=0.6, zorder=1)  # fmt: skip
        axis.plot(*np.where(missing[node][:, None], np.nan, truth[node]).T, color="black", linewidth=1.4)
    whole = np.concatenate([x.reshape(-1, x.shape[-1]), truth.reshape(-1, x.shape[-1])])
    low, high = np.nanmin(whole, 0), np.nanmax(whole, 0)
    reach = max(float((high - low).max()) / 2, 1e-9)
    for name, middle in zip("xyz", (low + high) / 2, strict=False):
        getattr(axis, f"set_{name}lim")(middle - 1.05 * reach, middle + 1.05 * reach)
    three = x.shape[-1] == 3
    axis.tick_params(labelsize=6, pad=-3 if three else 2, length=2)
    axis.set_box_aspect((1, 1, 1) if three else 1)
    axis.locator_params(nbins=4)


def _widened(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With the frames beside what is missing, so that lines join."""
    return np.asarray(missing | np.append(missing[1:], False) | np.append(False, missing[:-1]))


def _page(found: Completions, title: str) -> str:
    """Truth beside one sampled path, moving, and errors below."""
    frames = int(found.lengths[0])
    rows = [row for row in _chosen(found, _MOVING) if found.lengths[row] == frames]
    masks = [found.known.trajectories.mask[found[row].number] for row in rows]
    truth = [np.where(found[row].missing[..., None], found[row].truth, found[row].x) for row in rows]
    bonds = np.asarray(found.tables.get("bonds", []), dtype=np.int64).reshape(-1, 2)
    joined = [bonds] * len(rows)
    sides = [Side("sampled", [found.paths[row, 0][mask] for row, mask in zip(rows, masks, strict=True)], joined)]
    if all(not np.isnan(x[mask]).any() for x, mask in zip(truth, masks, strict=True)):
        sides.insert(0, Side("truth", [x[mask] for x, mask in zip(truth, masks, strict=True)], joined))
    given = np.flatnonzero(~found[int(rows[0])].missing.any(0)).tolist()
    page = motion_html(sides, title, "One path of each trajectory; rings of the slider: frames that were given.", given)
    if found.scores is None:
        return page
    others = {name: part for name, part in found.scores.items() if name != "model"}
    drawn = errors_svg(
        found.scores["model"], others, dt=found.known.trajectories.dt, unit=str(found.tables.get("unit", ""))
    )
    below = f'<figure aria-label="{escape("errors against the horizon")}">{drawn[drawn.index("<svg") :]}</figure>'
    return page.replace("</body>", f"{below}</body>") if "</body>" in page else page + below
