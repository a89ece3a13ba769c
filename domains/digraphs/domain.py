"""The digraph domain as the core sees it: one large directed graph rescaled, its degree matrices kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from scorefield.core.domain import Samples, Tables, Tour
    from scorefield.core.runs import Run
    from scorefield.core.state import State
    from scorefield.core.statistics.table import Comparison
    from scorefield.domains.digraphs.rescaler import RescaledGraphs
    from scorefield.domains.digraphs.statistics.measured import DigraphPopulation

__all__ = ["DigraphDomain"]

_NO_STATES = "graphs of this run are drawn from degree matrices, not from states"


class DigraphDomain:
    """Directed graphs without loops and parallel edges.

    Runs of a `Rescaler` make their graphs themselves (`rescaler.RescaledGraphs`), from degree matrices in place of a
    network.
    """

    name = "digraphs"
    description = "directed graphs: rescaled with their degree matrices (JDM/DCM)"
    conditions = ("ratio", "nodes", "steps_per_edge", "start", "on_infeasible")

    def samples_type(self, tables: Tables) -> type[Samples]:
        """`Digraphs`."""
        from scorefield.domains.digraphs.samples import Digraphs

        return Digraphs

    def suffixes(self, tables: Tables) -> tuple[str, ...]:
        """What `sample --out` can write, beside a folder."""
        from scorefield.domains.digraphs.edge_files import SUFFIXES

        return SUFFIXES

    def check_place(self, path: Path, num: int) -> None:
        """Find out whether so many graphs can be written there.

        Raises:
            InputError: they cannot.
        """
        from scorefield.domains.digraphs.sample_files import check_place

        check_place(path, num)

    def draw(
        self, num: int, tables: Tables, generator: torch.Generator, condition: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Nothing is drawn for states.

        Raises:
            InputError: always.
        """
        raise InputError(_NO_STATES)

    def order(self, drawn: Mapping[str, Tensor]) -> Tensor:
        """See `draw`."""
        raise InputError(_NO_STATES)

    def frame(self, drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Tables) -> State:
        """See `draw`."""
        raise InputError(_NO_STATES)

    def pad(self, state: State, sizes: Mapping[str, int]) -> State:
        """See `draw`."""
        raise InputError(_NO_STATES)

    def decode(self, state: State, tables: Tables) -> Samples:
        """See `draw`."""
        raise InputError(_NO_STATES)

    def rescaling(self, graph: Path, n: int | None, conditions: Mapping[str, Any], seed: int) -> RescaledGraphs:
        """What `scorefield rescale` draws graphs like that of a file with.

        Raises:
            InputError: the file holds no graph, or a condition cannot be.
        """
        from scorefield.domains.digraphs.rescaler import rescaled_from

        return rescaled_from(graph, n, conditions, seed)

    def statistics_table(self) -> list[tuple[str, str]]:
        """Names and descriptions of what `compare` computes."""
        from scorefield.domains.digraphs.statistics import statistics_table

        return statistics_table()

    def recognises(self, path: Path) -> bool:
        """Whether a file or a folder holds directed graphs."""
        from scorefield.domains.digraphs.statistics import recognises

        return recognises(path)

    def read(self, path: Path) -> Any:
        """The directed graphs that `compare` takes."""
        from scorefield.domains.digraphs.statistics import read_population

        return read_population(path)

    def population(self, samples: Any, *, progress: bool = False) -> DigraphPopulation:
        """Graphs, or what `read` gave, with what is measured of them once."""
        from scorefield.domains.digraphs.statistics import population

        return population(samples, progress=progress)

    def reference(self, run: Run) -> tuple[Any, Any]:
        """The graph of a run; it is also what the run was fitted to."""
        from scorefield.domains.digraphs.statistics import reference

        return reference(run)

    def compare(self, real: Any, generated: Any, train: Any = None, **options: Any) -> Comparison:
        """Statistics of directed graphs; the options are those of `compare_digraphs`."""
        from scorefield.domains.digraphs.statistics import compare_digraphs

        return compare_digraphs(real, generated, train, **options)

    def demo(self) -> Tour:
        """The imports of the standard library at half the size."""
        from scorefield.core.domain import Tour

        return Tour("digraphs/imports_small", (), 10, "samples")
