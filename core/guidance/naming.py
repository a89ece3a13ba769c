"""Guidance as a user writes it: `NAME`, `NAME=TARGET`, each with `:WEIGHT`; from that, the guides of a run.

A domain hands out named potentials by a method `potentials()` (see `core.domain.Domain`). The name `condition` stands
for the run's own condition: it is strengthened by classifier-free guidance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError
from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.potentials import Potential, Weighted, together
from scorefield.core.guidance.registry import default_way, make_guide
from scorefield.core.guide import Guide
from scorefield.core.names import unknown

if TYPE_CHECKING:
    from scorefield.core.domain import Domain, Tables

__all__ = ["CONDITION", "Asked", "PotentialEntry", "make_guides", "named_potentials"]

CONDITION = "condition"


@dataclass(frozen=True)
class Asked:
    """What a user asked for.

    Attributes:
        name: the potential's name.
        detail: what followed it after a point, as the N of `atoms.N`; may be empty.
        target: what followed `=`, or None.
        weight: what followed `:`, else 1.
    """

    name: str
    detail: str
    target: str | None
    weight: float

    @classmethod
    def read(cls, text: str) -> Asked:
        """Take `NAME.DETAIL=TARGET:WEIGHT` apart.

        Raises:
            InputError: the weight is no finite number.
        """
        head, colon, last = text.rpartition(":")
        head, last = (head, last) if colon else (text, "1")
        try:
            weight = float(last)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise InputError(f"guide {text!r} has no number as its weight", mend="write NAME=TARGET:WEIGHT")
        name, equals, target = head.partition("=")
        name, _, detail = name.partition(".")
        return cls(name, detail, target if equals else None, weight)


@dataclass(frozen=True)
class PotentialEntry:
    """A potential that users can name.

    Attributes:
        make: builds it, without its weight, from what was asked and the run's tables.
        kind: its class, which tells what ways it works with.
        syntax: how the rest of the name is written, as `.ELEMENT=SHARE`.
        description: one line.
    """

    make: Callable[[Asked, Tables], Potential]
    kind: type[Potential]
    syntax: str
    description: str


def named_potentials(domain: Domain) -> Mapping[str, PotentialEntry]:
    """The domain's named potentials; a domain may have none."""
    found: Mapping[str, PotentialEntry] = getattr(domain, "potentials", dict)()
    return found


def make_guides(
    wanted: Sequence[str | Guide | Potential],
    domain: Domain,
    tables: Tables,
    way: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> list[Guide]:
    """The guides of a run: those given as they are, in order, then one for each way of using potentials.

    Args:
        wanted: guides, potentials, and names with targets and weights.
        domain: whose names they are.
        tables: the run's tables.
        way: how to use the potentials; by default those that can by their gradient, the others by particles.
        arguments: of the way.

    Raises:
        InputError: an unknown name or way, a target that cannot be, or potentials that the way cannot use.
    """
    guides: list[Guide] = []
    groups: dict[str, list[Potential]] = {}
    for item in wanted:
        if isinstance(item, Guide):
            guides.append(item)
            continue
        potential = _named(item, domain, tables) if isinstance(item, str) else item
        if isinstance(potential, Guide):
            guides.append(potential)
        else:
            groups.setdefault(way or default_way(potential), []).append(potential)
    if way is not None and not groups:
        raise InputError(f"way {way!r} without a potential to use", mend="name one, see `scorefield list potentials`")
    if arguments and way is None:
        raise InputError("arguments of a way that is not named", mend=f"name it: {' or '.join(groups) or 'gradient'}")
    return guides + [make_guide(name, together(group), arguments) for name, group in groups.items()]


def _named(text: str, domain: Domain, tables: Tables) -> Potential | Guide:
    asked, known = Asked.read(text), named_potentials(domain)
    if asked.name == CONDITION:
        if asked.detail or asked.target is not None:
            raise InputError(f"guide {text!r}", mend=f"write {CONDITION}:WEIGHT")
        return ClassifierFree(asked.weight)
    if asked.name not in known:
        raise unknown("potential", asked.name, [*known, CONDITION])
    entry = known[asked.name]
    if asked.detail and not entry.syntax.startswith("."):
        raise InputError(f"guide {text!r}", mend=f"write {asked.name}{entry.syntax}:WEIGHT")
    potential = entry.make(asked, tables)
    return potential if asked.weight == 1 else Weighted(potential, asked.weight)
