"""The domains: found by the entry-point group `scorefield.domains`, imported only when one is needed.

A package of somebody else adds a domain with one entry point, `name = "package.module:Class"`.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.core.names import unknown

if TYPE_CHECKING:
    from scorefield.core.domain import Domain

__all__ = ["DomainEntry", "find_domains", "is_trusted", "load_domain"]

GROUP = "scorefield.domains"


@dataclass(frozen=True)
class DomainEntry:
    """An installed domain that has not been imported yet.

    Args:
        name: what the user types.
        point: its entry point.
    """

    name: str
    point: EntryPoint

    def description(self) -> str:
        """The first line of its module's docstring, read from the source without running it."""
        spec = importlib.util.find_spec(self.point.module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return ""
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
        return text.partition("\n")[0]

    def load(self) -> Domain:
        """Import the domain and make its object."""
        found = self.point.load()
        domain: Domain = found() if isinstance(found, type) else found
        return domain


def find_domains() -> dict[str, DomainEntry]:
    """Every installed domain by name."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: DomainEntry(point.name, point) for point in points}


def is_trusted(module: str) -> bool:
    """Whether a module is of this suite or of a package that registered a domain; run files name no others."""
    packages = {entry.point.module.partition(".")[0] for entry in find_domains().values()}
    return module.partition(".")[0] in packages | {"scorefield"}


def load_domain(name: str) -> Domain:
    """Import a domain.

    Raises:
        InputError: no domain of that name is installed.
    """
    domains = find_domains()
    if name not in domains:
        raise unknown("domain", name, domains)
    return domains[name].load()
