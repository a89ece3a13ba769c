"""The short table that `scorefield diagnose` prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from scorefield.core.statistics.table import short

if TYPE_CHECKING:
    from scorefield.core.diagnostics.denoising import Denoising
    from scorefield.core.diagnostics.diagnosis import Diagnosis
    from scorefield.core.diagnostics.endpoints import Endpoint, Endpoints

__all__ = ["by_solver", "remarks", "text_table"]


def by_solver(endpoints: Endpoints) -> dict[str, list[Endpoint]]:
    """The runs of each solver."""
    found: dict[str, list[Endpoint]] = defaultdict(list)
    for row in endpoints.rows:
        found[row.solver].append(row)
    return dict(found)


def text_table(diagnosis: Diagnosis) -> str:
    """A line a solver, then a line a finding."""
    facts, endpoints = diagnosis.facts, diagnosis.endpoints
    lines = [
        f"{diagnosis.run}: {facts['num']} {facts['points']}, {facts['weights']} weights",
        f"endpoint error (evaluations), against {endpoints.reference}; median sample",
        *_solver_lines(by_solver(endpoints)),
        *(f"{name}: {text}" for name, text in remarks(diagnosis)),
    ]
    return "\n".join(lines)


def _solver_lines(solvers: dict[str, list[Endpoint]]) -> list[str]:
    cells = [[name, *(f"{short(r.median)} ({r.evaluations})" for r in runs)] for name, runs in solvers.items()]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((len(row[k]) for row in cells if k < len(row)), default=0) for k in range(columns)]
    return [
        "  "
        + "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=False)))
        for row in cells
    ]


def remarks(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Findings in a line each: title and text."""
    residual, uneven, gap, found = diagnosis.residual, diagnosis.asymmetry, diagnosis.gap, diagnosis.dimensions
    blind = "" if any(residual.change) else " (1 throughout: the score does not change with time)"
    parts = ", ".join(f"{name} {short(median(shares))}" for name, shares in uneven.blocks.items())
    lines = [
        ("denoising error", _denoising(diagnosis.denoising)),
        ("Fokker-Planck residual", f"relative {_range(residual.relative)} over t{blind}"),
        ("asymmetry of the Jacobian", f"whole {_range(uneven.whole)} over t; median of blocks: {parts}"),
        (
            "ODE-SDE gap",
            f"W2 {short(gap.w2)}, floor {short(gap.floor)}, p = {short(gap.p_value)} ({gap.steps} steps each)",
        ),
        (
            "local dimension",
            f"FLIPD {_quartiles(found.flipd)} of {short(float(median(found.free)))} free entries, normal space "
            f"{_quartiles(found.normal_space)}, at sigma / alpha = {short(found.noise)}",
        ),
    ]
    return [*lines, *_skipped(diagnosis.endpoints.skipped)]


def _denoising(found: Denoising) -> str:
    text = "; ".join(f"{name} {_range(errors)}" for name, errors in found.errors.items())
    wrong = found.suspicious()
    warning = (
        f"; is the prediction of {', '.join(wrong)} what the configuration says? (1 is the mean's)" if wrong else ""
    )
    return f"in units of the data's spread, over t: {text}{warning}"


def _range(values: Sequence[float]) -> str:
    return f"{short(min(values))} … {short(max(values))}"


def _quartiles(values: Sequence[float]) -> str:
    if not values:
        return "–"
    ordered = sorted(values)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.25, 0.75))
    return f"{short(float(median(ordered)))} ({short(float(low))} … {short(float(high))})"


def _skipped(skipped: dict[str, str]) -> list[tuple[str, str]]:
    """Solvers with the same reason share a line."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in skipped.items():
        reasons[reason].append(name)
    return [("left out", f"{', '.join(names)}: {reason}") for reason, names in reasons.items()]
