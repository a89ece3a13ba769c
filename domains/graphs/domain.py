"""The graph domain as the core sees it: molecules and generic graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from scorefield.core.domain import Samples, Tables, Tour
    from scorefield.core.guidance.naming import PotentialEntry
    from scorefield.core.importing import ImportedModel
    from scorefield.core.runs import Run
    from scorefield.core.state import State
    from scorefield.core.statistics.table import Comparison
    from scorefield.domains.graphs.statistics import MoleculePopulation

__all__ = ["GraphDomain"]


class GraphDomain:
    """Undirected graphs; with an atom table in a run's tables, molecules.

    Sampling draws node counts from the training histogram. `num_nodes` as a condition fixes them.
    """

    name = "graphs"
    description = "molecules and undirected graphs (GDSS)"
    conditions = ("num_nodes",)
    import_formats = ("gdss",)

    def samples_type(self, tables: Tables) -> type[Samples]:
        """`Molecules` or `Graphs`."""
        if _molecular(tables):
            from scorefield.domains.graphs.molecules import Molecules

            return Molecules
        from scorefield.domains.graphs.graph_samples import Graphs

        return Graphs

    def check_tables(self, tables: Tables, sizes: Mapping[str, int], file: Path) -> None:
        """Find tables that cannot be sampled with.

        Raises:
            InputError: a table is missing or mistyped; the file and the key are named.
        """
        largest, counts = sizes.get("max_nodes"), tables.get("node_counts")
        if not isinstance(counts, dict) or not counts:
            raise InputError("needs a count for each size", file=file, place="tables.node_counts")
        for size, count in counts.items():
            fits = size.isdecimal() and isinstance(largest, int) and 1 <= int(size) <= largest
            if not fits or not isinstance(count, int | float) or not 0 <= count < float("inf"):
                what = f"{size!r}: {count!r} is no count of graphs of up to {largest} nodes"
                raise InputError(what, file=file, place="tables.node_counts")
        if not any(counts.values()):
            raise InputError("counts no graph", file=file, place="tables.node_counts")
        atoms = tables.get("atoms")
        named = [atom for atom in atoms if isinstance(atom, str)] if isinstance(atoms, list) else []
        if _molecular(tables) and (atoms != named or len(named) != sizes.get("features")):
            raise InputError("needs a list of one element for each feature", file=file, place="tables.atoms")

    def versions(self, tables: Tables) -> dict[str, str]:
        """RDKit's version, where it decodes."""
        if not _molecular(tables):
            return {}
        import rdkit

        return {"rdkit": rdkit.__version__}

    def suffixes(self, tables: Tables) -> tuple[str, ...]:
        """What `sample --out` can write."""
        if _molecular(tables):
            from scorefield.domains.graphs.formats import SUFFIXES

            return (*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES))
        from scorefield.domains.graphs.graph_formats import SUFFIXES as GRAPH_SUFFIXES

        return GRAPH_SUFFIXES

    def draw(
        self, num: int, tables: Tables, generator: torch.Generator, condition: Mapping[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Node counts, int64 `[num]`.

        Raises:
            InputError: a condition that is unknown, or a node count outside the training range.
        """
        import torch

        counts = {int(size): weight for size, weight in tables["node_counts"].items()}
        given = dict(condition or {})
        fixed = given.pop("num_nodes", None)
        if given:
            raise InputError(f"unknown condition {min(given)!r}", mend="graphs take num_nodes")
        sizes = torch.tensor(sorted(counts))
        if fixed is not None:
            return {"num_nodes": torch.full((num,), _node_count(fixed, int(sizes[-1])))}
        weights = torch.tensor([float(counts[int(size)]) for size in sizes], dtype=torch.float64)
        return {"num_nodes": sizes[torch.multinomial(weights, num, replacement=True, generator=generator)]}

    def order(self, drawn: Mapping[str, Tensor]) -> Tensor:
        """Rows by node count."""
        return drawn["num_nodes"].argsort(stable=True)

    def frame(self, drawn: Mapping[str, Tensor], sizes: Mapping[str, int], tables: Tables) -> State:
        """Zeros with the masks of these node counts, padded to the largest of them."""
        import torch

        from scorefield.core.state import State

        counts = drawn["num_nodes"]
        nodes = int(counts.max())
        mask = torch.arange(nodes) < counts[:, None]
        shape = (len(counts), nodes)
        zeros = {"x": torch.zeros(*shape, sizes["features"]), "adj": torch.zeros(*shape, nodes)}
        return State(zeros, {"mask": mask})

    def pad(self, state: State, sizes: Mapping[str, int]) -> State:
        """Pad to `max_nodes` nodes."""
        from torch.nn.functional import pad

        from scorefield.core.state import State

        more = sizes["max_nodes"] - state["x"].shape[1]
        components = {"x": pad(state["x"], (0, 0, 0, more)), "adj": pad(state["adj"], (0, more, 0, more))}
        return State(components, {"mask": pad(state.masks["mask"], (0, more))})

    def decode(self, state: State, tables: Tables) -> Samples:
        """Quantise, and build molecules or graphs."""
        if not _molecular(tables):
            from scorefield.domains.graphs.graph_samples import Graphs
            from scorefield.domains.graphs.quantise import quantise_edges

            mask = state.masks["mask"]
            edges = quantise_edges(state["adj"], mask)
            return Graphs.from_edges(edges.cpu().numpy(), mask.cpu().numpy())
        from scorefield.domains.graphs.chemistry.atoms import AtomTable
        from scorefield.domains.graphs.chemistry.decode import decode_tensors

        return decode_tensors(state["x"], state["adj"], state.masks["mask"], AtomTable(tuple(tables["atoms"])))

    def potentials(self) -> Mapping[str, PotentialEntry]:
        """What `sample --guide` takes."""
        from scorefield.domains.graphs.potentials import POTENTIALS

        return POTENTIALS

    def statistics_table(self) -> list[tuple[str, str]]:
        """Names and descriptions of what `compare` computes."""
        from scorefield.domains.graphs.statistics import STATISTICS

        return [(entry.name, entry.description) for entry in STATISTICS]

    def recognises(self, path: Path) -> bool:
        """Whether a file with this name holds molecules."""
        from scorefield.domains.graphs.statistics.sources import recognises

        return recognises(path)

    def read(self, path: Path) -> MoleculePopulation:
        """The molecules of a file that `compare` takes."""
        from scorefield.domains.graphs.statistics.sources import read_population

        return read_population(path)

    def population(self, samples: Any, *, progress: bool = False) -> MoleculePopulation:
        """Molecules, SMILES or what `read` gave, with features that are computed once."""
        from scorefield.domains.graphs.statistics.sources import population

        return population(samples, progress=progress)

    def reference(self, run: Run) -> tuple[MoleculePopulation, MoleculePopulation]:
        """The test split and the training set of a run."""
        from scorefield.domains.graphs.statistics.sources import reference

        return reference(run)

    def compare(self, real: Any, generated: Any, train: Any = None, **options: Any) -> Comparison:
        """Statistics of molecules; the options are those of `compare_molecules`."""
        from scorefield.domains.graphs.statistics import compare_molecules

        return compare_molecules(real, generated, train, **options)

    def import_model(self, source: str, form: str) -> ImportedModel:
        """A model from weights of the original project."""
        from scorefield.domains.graphs.importing import import_gdss

        return import_gdss(source)

    def demo(self) -> Tour:
        """Small molecules, trained for a minute or two."""
        from scorefield.core.domain import Tour

        return Tour("graphs/molecules_small", ("--trainer.max_epochs=50",), 500, "generated.csv")


def _molecular(tables: Tables) -> bool:
    return tables.get("kind") == "molecules"


def _node_count(value: Any, largest: int) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        raise InputError(f"num_nodes = {value!r} is no number") from None
    if not 1 <= count <= largest:
        raise InputError(f"num_nodes = {count}", mend=f"this run was trained on graphs of 1 to {largest} nodes")
    return count
