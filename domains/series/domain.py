"""The series domain as the core sees it: windows of multivariate time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError
from scorefield.domains.series import synthesis
from scorefield.domains.series.labels import check_labels, draw_labels, names_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.completion import Task, TaskName
    from scorefield.core.domain import Samples, Tables, Tour
    from scorefield.core.importing import ImportedModel
    from scorefield.core.runs import Run
    from scorefield.core.state import State
    from scorefield.core.statistics.table import Comparison
    from scorefield.domains.series.completion import SeriesItems
    from scorefield.domains.series.statistics import SeriesPopulation
    from scorefield.domains.series.tsdiff.refining_items import RefinedItems

__all__ = ["SeriesDomain"]


class SeriesDomain:
    """Multivariate time series of one length; states hold windows scaled to [-1, 1], samples the data's own units.

    A run that learnt the classes of its data draws one for each series, as often as it was trained on them; `label` as
    a condition fixes it.
    """

    name = "series"
    description = "multivariate time series (PaD-TS), panels of univariate ones (TSDiff)"
    conditions = ("label", "scale")
    import_formats = ("pad_ts", "tsdiff")

    def samples_type(self, tables: Tables) -> type[Samples]:
        """`SeriesSamples`."""
        from scorefield.domains.series.samples import SeriesSamples

        return SeriesSamples

    def check_tables(self, tables: Tables, sizes: Mapping[str, int], file: Path) -> None:
        """Find tables that cannot be sampled with.

        Raises:
            InputError: a table is missing or mistyped; the file and the key are named.
        """
        for name in ("length", "features"):
            size = sizes.get(name)
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise InputError(f"{size!r} is no size", file=file, place=f"sizes.{name}")
        if synthesis.is_panel(tables):
            synthesis.check_panel(tables, sizes, file)
            return
        features = sizes["features"]
        columns = tables.get("columns")
        named = [name for name in columns if isinstance(name, str)] if isinstance(columns, list) else []
        if columns != named or len(set(named)) != features:
            raise InputError("needs a name for each feature", file=file, place="tables.columns")
        for name in ("low", "high"):
            numbers = tables.get(name)
            if not isinstance(numbers, list) or len(numbers) != features or not all(map(_finite, numbers)):
                raise InputError("needs a finite number for each feature", file=file, place=f"tables.{name}")
        for name, low, high in zip(named, tables["low"], tables["high"], strict=True):
            if low > high:
                raise InputError(f"{low:g} to {high:g} is no range", file=file, place=f"tables.high, column {name!r}")
        labels = tables.get("labels", [])
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise InputError("needs a list of names", file=file, place="tables.labels")
        if tables.get("conditional"):
            check_labels(tables, sizes, file)

    def suffixes(self, tables: Tables) -> tuple[str, ...]:
        """What `sample --out` can write."""
        from scorefield.domains.series.tables import SUFFIXES

        return SUFFIXES

    def draw(
        self, num: int, tables: Tables, generator: torch.Generator, condition: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """`series` numbers the rows; of a run with classes, `label` is the class of each; int64 `[num]`.

        Raises:
            InputError: a condition that is unknown, or a class that the run has not.
        """
        import torch

        if synthesis.is_panel(tables):
            return synthesis.draw_panel(num, tables, generator, condition)
        given = dict(condition or {})
        label = given.pop("label", None)
        if given:
            name = min(given)
            fixed = name in ("length", "window")
            mend = "series have the length that the run was trained on" if fixed else "series take label"
            raise InputError(f"unknown condition {name!r}", mend=mend)
        drawn = {"series": torch.arange(num)}
        if label is not None or tables.get("conditional"):
            drawn["label"] = draw_labels(num, label, tables, generator)
        return drawn

    def order(self, drawn: Mapping[str, Tensor]) -> Tensor:
        """Rows as they are."""
        return drawn["series"].argsort(stable=True)

    def frame(self, drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Tables) -> State:
        """Zeros."""
        import torch

        from scorefield.core.state import State

        if synthesis.is_panel(tables):
            return synthesis.frame_panel(drawn, sizes)
        zeros = torch.zeros(len(drawn["series"]), sizes["length"], sizes["features"])
        return State({"x": zeros}, {}, {"label": drawn["label"]} if "label" in drawn else {})

    def pad(self, state: State, sizes: Mapping[str, int]) -> State:
        """The state itself: all series are of one length."""
        return state

    def decode(self, state: State, tables: Tables) -> Samples:
        """Series in the units of the data; constant columns are their constants. Classes that are open have no name."""
        from scorefield.domains.series.samples import SeriesSamples
        from scorefield.domains.series.scaling import Scaling

        if synthesis.is_panel(tables):
            return synthesis.decode_panel(state, tables)
        x = Scaling.from_tables(tables).original(state["x"].detach().cpu().double().numpy())
        labels = names_of(state.condition["label"], tables) if "label" in state.condition else None
        return SeriesSamples(x, tuple(tables["columns"]), labels)

    def tasks(self, record: ModelRecord) -> tuple[TaskName, ...]:
        """All that `core.completion` knows of panels; a run that is given its history can only forecast."""
        panel = synthesis.is_panel(record.tables)
        if panel and "given" in record.sizes:
            return ("forecast",)
        return ("forecast", "impute", "interpolate", *(("refine",) if panel else ()))

    def open_items(self, task: Task, record: ModelRecord) -> SeriesItems | RefinedItems:
        """The series of a file, and what is missing of them."""
        if task.name == "refine":
            from scorefield.domains.series.tsdiff.refining_items import open_refining

            return open_refining(task, record)
        if synthesis.is_panel(record.tables):
            from scorefield.domains.series.tsdiff.panel_tasks import open_panel

            return open_panel(task, record)
        from scorefield.domains.series.window_tasks import open_series

        return open_series(task, record, self)

    def statistics_table(self) -> list[tuple[str, str]]:
        """Names and descriptions of what `compare` computes."""
        from scorefield.domains.series.statistics import statistics_table

        return statistics_table()

    def recognises(self, path: Path) -> bool:
        """Whether a file with this name holds series."""
        from scorefield.domains.series.statistics.sources import recognises

        return recognises(path)

    def read(self, path: Path) -> SeriesPopulation:
        """The series of a file that `compare` takes."""
        from scorefield.domains.series.statistics.sources import read_population

        return read_population(path)

    def population(self, samples: Any, *, progress: bool = False) -> SeriesPopulation:
        """Series, or what `read` gave, with windows and features that are computed once."""
        from scorefield.domains.series.statistics.sources import population

        return population(samples, progress=progress)

    def reference(self, run: Run) -> tuple[SeriesPopulation, SeriesPopulation]:
        """The test split and the training set of a run."""
        from scorefield.domains.series.statistics.sources import reference

        return reference(run)

    def compare(self, real: Any, generated: Any, train: Any = None, **options: Any) -> Comparison:
        """Statistics of series; the options are those of `compare_series`."""
        from scorefield.domains.series.statistics import compare_series

        return compare_series(real, generated, train, **options)

    def import_model(self, source: str, form: str) -> ImportedModel:
        """A model from weights of the original project."""
        if form == "tsdiff":
            from scorefield.domains.series.tsdiff.importing import import_tsdiff

            return import_tsdiff(source)
        from scorefield.domains.series.pad_ts.importing import import_pad_ts

        return import_pad_ts(source)

    def demo(self) -> Tour:
        """Sines, trained for a minute or two."""
        from scorefield.core.domain import Tour

        return Tour("series/sines_small", ("--trainer.max_epochs=12",), 1000, "generated.csv")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
