"""The geometry domain as the core sees it: trajectories of particles, molecules, pedestrians."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.domains.geometry.simulators.catalogue import SIMULATIONS

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from scorefield.core.checkpoints import ModelRecord
    from scorefield.core.completion import Items, Task, TaskName
    from scorefield.core.domain import Samples, Tables, Tour
    from scorefield.core.importing import ImportedModel
    from scorefield.core.runs import Run
    from scorefield.core.simulation import Simulation
    from scorefield.core.state import State
    from scorefield.core.statistics.table import Comparison
    from scorefield.domains.geometry.statistics.population import TrajectoryPopulation

__all__ = ["GeometryDomain"]


class GeometryDomain:
    """Trajectories of nodes in space, in the units of the data.

    Unconditional runs make trajectories up around their mean position, of systems that they were trained on; `nodes`
    as a condition takes those of one size. Conditional runs continue, or fill in, what is given.
    """

    name = "geometry"
    description = "trajectories of particles, molecules, pedestrians (GeoTDM)"
    conditions = ("nodes",)
    import_formats = ("geotdm",)
    refining = "sdedit"

    def samples_type(self, tables: Tables) -> type[Samples]:
        """`Trajectories`."""
        from scorefield.domains.geometry.trajectories import Trajectories

        return Trajectories

    def check_tables(self, tables: Tables, sizes: Mapping[str, int], file: Path) -> None:
        """Find tables that cannot be sampled with."""
        from scorefield.domains.geometry.synthesis import check_systems

        check_systems(tables, sizes, file)

    def suffixes(self, tables: Tables) -> tuple[str, ...]:
        """What `sample --out` can write."""
        from scorefield.domains.geometry.trajectory_files import SUFFIXES

        return SUFFIXES

    def draw(
        self, num: int, tables: Tables, generator: torch.Generator, condition: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """See `synthesis.draw`."""
        from scorefield.domains.geometry.synthesis import draw

        return draw(num, tables, generator, condition)

    def order(self, drawn: Mapping[str, Tensor]) -> Tensor:
        """Rows by their nodes."""
        return drawn["nodes"].argsort(stable=True)

    def frame(self, drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Tables) -> State:
        """See `synthesis.frame`."""
        from scorefield.domains.geometry.synthesis import frame

        return frame(drawn, sizes, tables)

    def pad(self, state: State, sizes: Mapping[str, int]) -> State:
        """The state itself: `frame` pads to the run's sizes, and networks leave padding out."""
        return state

    def decode(self, state: State, tables: Tables) -> Samples:
        """See `synthesis.decode`."""
        from scorefield.domains.geometry.synthesis import decode

        return decode(state, tables)

    def tasks(self, record: ModelRecord) -> tuple[TaskName, ...]:
        """All that `core.completion` knows; a conditional run is given whole frames, and imputes none."""
        some: tuple[TaskName, ...] = ("forecast", "interpolate", "refine")
        return some if "given" in record.sizes else ("forecast", "impute", "interpolate", "refine")

    def open_items(self, task: Task, record: ModelRecord) -> Items:
        """The trajectories of a file, and what is missing of them."""
        from scorefield.domains.geometry.tasks import open_trajectories

        found: Items = open_trajectories(task, record)
        return found

    def simulations(self) -> Mapping[str, Simulation]:
        """What `scorefield simulate` offers."""
        return SIMULATIONS

    def statistics_table(self) -> list[tuple[str, str]]:
        """Names and descriptions of what `compare` computes."""
        from scorefield.domains.geometry.statistics.comparing import statistics_table

        return statistics_table()

    def recognises(self, path: Path) -> bool:
        """Whether a file holds trajectories."""
        from scorefield.domains.geometry.statistics.sources import recognises

        return recognises(path)

    def read(self, path: Path) -> TrajectoryPopulation:
        """The trajectories of a file that `compare` takes."""
        from scorefield.domains.geometry.statistics.sources import read_population

        return read_population(path)

    def population(self, samples: Any, *, progress: bool = False) -> TrajectoryPopulation:
        """Trajectories, or what `read` gave, with features that are computed once."""
        from scorefield.domains.geometry.statistics.sources import population

        return population(samples, progress=progress)

    def reference(self, run: Run) -> tuple[TrajectoryPopulation, TrajectoryPopulation]:
        """The test split and the training set of a run."""
        from scorefield.domains.geometry.statistics.sources import reference

        return reference(run)

    def compare(self, real: Any, generated: Any, train: Any = None, **options: Any) -> Comparison:
        """Statistics of trajectories; the options are those of `compare_trajectories`."""
        from scorefield.domains.geometry.statistics.comparing import compare_trajectories

        return compare_trajectories(real, generated, train, **options)

    def import_model(self, source: str, form: str) -> ImportedModel:
        """A model from weights of the original project."""
        from scorefield.domains.geometry.importing import import_geotdm

        return import_geotdm(source)

    def demo(self) -> Tour:
        """Springs, trained for a minute or two."""
        from scorefield.core.domain import Tour

        return Tour("geometry/springs_small", (), 200, "generated.npz")
