"""Weights of other projects as runs of ours.

A domain that can read foreign weights offers, beside what generation needs (`core.domain.Domain`), what
`Importing` lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from scorefield.core.checkpoints import ModelRecord, instantiate, save_model
from scorefield.core.domains import find_domains
from scorefield.core.names import unknown
from scorefield.core.runs import claim

__all__ = ["ImportedModel", "Importing", "import_formats", "import_model"]


@dataclass(frozen=True)
class ImportedModel:
    """A foreign model in our terms.

    Attributes:
        record: what `model.json` will hold.
        raw: state dictionary of the system.
        ema: the averaged one, if there is one.
    """

    record: ModelRecord
    raw: dict[str, Tensor]
    ema: dict[str, Tensor] | None


class Importing(Protocol):
    """What a domain needs so that `import` works."""

    import_formats: Sequence[str]

    def import_model(self, source: str, form: str) -> ImportedModel:
        """Read a foreign model.

        Args:
            source: a file, or the common beginning of several.
            form: one of `import_formats`.

        Raises:
            InputError: a part is missing, damaged, or of a kind that is not known.
        """
        ...


def import_formats() -> dict[str, str]:
    """The known formats and the domains they belong to."""
    domains = {name: entry.load() for name, entry in find_domains().items()}
    return {form: name for name, domain in domains.items() for form in getattr(domain, "import_formats", ())}


def import_model(source: str | Path, form: str, out: str | Path) -> ModelRecord:
    """Make a run from foreign weights; nothing is written before all of them are read and fit.

    Args:
        source: a file, or the common beginning of several.
        form: the format.
        out: the run folder, which must be empty or not exist.

    Raises:
        InputError: an unknown format; what the domain's `import_model` raises; a folder that is not empty.
    """
    formats = import_formats()
    if form not in formats:
        raise unknown("format", form, formats)
    domain = cast("Importing", find_domains()[formats[form]].load())
    imported = domain.import_model(str(source), form)
    system = instantiate(imported.record.system).build(imported.record.sizes)
    system.load_state_dict(imported.raw)
    return save_model(claim(out), imported.record, imported.raw, imported.ema)
