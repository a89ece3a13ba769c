"""Comparing populations: files, runs, decoded samples or plain lists, in whatever domain they belong to.

A domain that can compare offers, beside what generation needs (`core.domain.Domain`), what `Comparing` lists. What it
reads is kept for the next comparison, so that the features of the real population are computed once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from scorefield.core.domains import find_domains, load_domain
from scorefield.core.errors import InputError
from scorefield.core.runs import Run, resolve_run
from scorefield.core.statistics.table import Comparison
from scorefield.core.statistics.uncertainty import Resampling

__all__ = ["Comparing", "compare", "compare_many"]

Source: TypeAlias = Any  # a path, a run folder (real only), a domain's samples, or a list of what it takes


class Comparing(Protocol):
    """What a domain needs so that `compare` works."""

    def recognises(self, path: Path) -> bool:
        """Whether a file with this name is a population of this domain."""
        ...

    def read(self, path: Path) -> Any:
        """The population in a file.

        Raises:
            InputError: the file is missing, empty, or holds nothing that can be compared.
        """
        ...

    def population(self, samples: Any, *, progress: bool = False) -> Any:
        """A population that keeps its features, from what `read` gave, samples or a list."""
        ...

    def reference(self, run: Run) -> tuple[Any, Any]:
        """The test split and the training set of a run, for `population`."""
        ...

    def compare(
        self,
        real: Any,
        generated: Any,
        train: Any = None,
        *,
        names: tuple[str, str] = ("real", "generated"),
        seed: int = 0,
        resampling: Resampling | None = None,
        only: Sequence[str] | None = None,
        figures: bool = True,
        progress: bool = False,
    ) -> Comparison:
        """The statistics of two populations: those named in `only` (`all`: each one), by default what takes no long."""
        ...

    def statistics_table(self) -> list[tuple[str, str]]:
        """Name and one line about each statistic, for `list statistics`."""
        ...


def compare(
    real: Source, generated: Source, train: Source | None = None, domain: str | None = None, **options: Any
) -> Comparison:
    """Compare generated objects with real ones.

    Args:
        real: a file, a run (its test split; its training set serves as `train`), samples, or a list of objects.
        generated: a file, samples or a list.
        train: likewise, what the model was trained on, for novelty.
        domain: name of the domain; by default that of the run or of the files.
        options: `seed`, `resampling`, `only`, `figures`, `progress` (see `Comparing.compare`).

    Raises:
        InputError: a file or run cannot be read, or the domain is unknown or not clear.
    """
    return compare_many(real, [generated], train, domain, **options)[0]


def compare_many(
    real: Source,
    generated: Sequence[Source],
    train: Source | None = None,
    domain: str | None = None,
    *,
    progress: bool = False,
    **options: Any,
) -> list[Comparison]:
    """Compare several generated populations with the same real one; arguments as in `compare`."""
    run = _as_run(real)
    parts = [*([] if run else [real]), *generated, *([] if train is None else [train])]
    chosen = _domain(run, parts, domain)
    test, trained_on = chosen.reference(run) if run else (_content(chosen, real), None)
    training = trained_on if train is None else _content(chosen, train)
    contents = [_content(chosen, source) for source in generated]  # all are read before the long work begins
    real_population = chosen.population(test, progress=progress)
    train_population = None if training is None else chosen.population(training)
    return [
        chosen.compare(
            real_population,
            chosen.population(content, progress=progress),
            train_population,
            names=(_name(real, "real"), _name(source, "generated")),
            progress=progress,
            **options,
        )
        for source, content in zip(generated, contents, strict=True)
    ]


def _is_path(source: Source) -> bool:
    return isinstance(source, str | os.PathLike)


def _as_run(real: Source) -> Run | None:
    """A folder is a run, unless it holds a domain's objects; so is a bare name that is no file and has no suffix."""
    if not _is_path(real):
        return None
    path = Path(real)
    if path.is_dir() and any(_recognises(entry.load(), path) for entry in find_domains().values()):
        return None
    if path.is_dir() or (not path.exists() and not path.suffix):
        return Run(resolve_run(real))
    return None


def _domain(run: Run | None, sources: Sequence[Source], wanted: str | None) -> Comparing:
    if run is not None and wanted not in (None, run.domain):
        raise InputError(f"a run of the domain {run.domain!r}, not {wanted!r}", file=run.folder)
    name = wanted or (run.domain if run else _domain_of(sources))
    found = load_domain(name)
    if not hasattr(found, "compare"):
        raise InputError(f"the domain {name!r} has no comparison")
    return cast("Comparing", found)


def _domain_of(sources: Sequence[Source]) -> str:
    """The one domain that takes these files and samples."""
    domains = find_domains()
    for source in sources:
        if _is_path(source):
            path = Path(source)
            takers = [name for name, entry in domains.items() if _recognises(entry.load(), path)]
            if len(takers) == 1:
                return takers[0]
            if not path.exists():
                raise InputError("there is no such file", file=path)
            what = f"could be of the domains {', '.join(takers)}" if takers else "no domain knows files of this name"
            raise InputError(what, file=path, mend=f"choose with --domain: {', '.join(domains)}")
        owner = _owner_of(type(source).__module__)
        if owner is not None:
            return owner
    if len(domains) == 1:
        return next(iter(domains))
    raise InputError("the domain is not clear", mend=f"name one: {', '.join(domains)}")


def _owner_of(module: str) -> str | None:
    """The one domain in whose package a module lies, or else beside whose module."""
    places = {name: entry.point.module for name, entry in find_domains().items()}
    beside = {name: place.rpartition(".")[0] or place for name, place in places.items()}
    for known in (places, beside):
        owners = [name for name, place in known.items() if f"{module}.".startswith(f"{place}.")]
        if len(owners) == 1:
            return owners[0]
    return None


def _recognises(domain: Any, path: Path) -> bool:
    return hasattr(domain, "recognises") and bool(domain.recognises(path))


def _content(domain: Comparing, source: Source) -> Any:
    return domain.read(Path(source)) if _is_path(source) else source


def _name(source: Source, otherwise: str) -> str:
    return str(source) if _is_path(source) else otherwise
