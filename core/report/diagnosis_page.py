"""The page of a diagnosis: one file that needs no other, no network and no JavaScript."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from scorefield.core.diagnostics.text import by_solver, remarks
from scorefield.core.files import atomic
from scorefield.core.report.diagnosis_figures import asymmetry_svg, dimensions_svg, endpoints_svg, residual_svg
from scorefield.core.statistics.table import short

if TYPE_CHECKING:
    from scorefield.core.diagnostics.diagnosis import Diagnosis

__all__ = ["diagnosis_html", "write_diagnosis"]


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("scorefield.core.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    figures = {
        "endpoints": endpoints_svg(diagnosis.endpoints),
        "residual": residual_svg(diagnosis.residual),
        "asymmetry": asymmetry_svg(diagnosis.asymmetry),
        "dimensions": dimensions_svg(diagnosis.dimensions),
    }
    return environment.get_template("diagnosis.html").render(
        diagnosis=diagnosis,
        name=Path(diagnosis.run).name,
        solvers=by_solver(diagnosis.endpoints),
        remarks=remarks(diagnosis),
        figures={name: _data_uri(svg) for name, svg in figures.items()},
    )


def write_diagnosis(diagnosis: Diagnosis, path: str | Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    text = diagnosis_html(diagnosis)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
