"""Degree matrices of a smaller or larger graph, with a certificate of how far they are from the original ones.

JDM/DCM-rescaled sampling, after Yan and Jiang, "Constructing and sampling directed graphs with linearly rescaled degree
matrices" (arXiv 2507.23025), of which only the abstract was at hand: the method is a reconstruction, and none of its
numbers are theirs. For n' nodes and s = n'/n:

1. `rounding`: J' near s J, entries, classes and prefixes each rounded down or up;
2. `balance`: as many out- as in-stubs;
3. `digraphic`: a degree sequence that some simple graph has;
4. `correlation`: C' near s C with the margins of J'.

For whole s, J' = s J and C' = s C exactly, and always some graph has them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.digraphs.balance import Balanced, balance_stubs
from scorefield.domains.digraphs.certificates import Certificate, certify
from scorefield.domains.digraphs.correlation import fit_dcm
from scorefield.domains.digraphs.digraphic import repair
from scorefield.domains.digraphs.matrices import DegreeMatrices, Rows
from scorefield.domains.digraphs.rounding import round_jdm
from scorefield.domains.digraphs.streams import generator
from scorefield.domains.digraphs.validation import validate

__all__ = ["OnInfeasible", "Plan", "rescale", "scaled_nodes"]

OnInfeasible = Literal["clip", "raise"]
_WORTH_A_WARNING = 0.01
_PURPOSE = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """What a rescaled graph is to have.

    Args:
        matrices: J' and C', which some simple graph has.
        certificate: how far they are from the original, and what is proved of it.
    """

    matrices: DegreeMatrices
    certificate: Certificate


def scaled_nodes(n: int, ratio: float | str | Fraction | None = None, nodes: int | None = None) -> int:
    """The number of nodes n' that a ratio (as it is written: 0.3 is three tenths; halves to even) or a number asks for.

    Raises:
        InputError: both or none of the two, a ratio that is not above 0 or no number, or less than one node.
    """
    if (ratio is None) == (nodes is None):
        raise InputError("a size needs a ratio or a number of nodes, one of them", mend="give ratio or nodes")
    if nodes is not None:
        if nodes < 1:
            raise InputError(f"{nodes} nodes asked for", mend="ask for 1 or more")
        return nodes
    try:
        exact = ratio if isinstance(ratio, Fraction) else Fraction(str(ratio))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"ratio {ratio} is no number", mend="give one above 0, such as 0.3") from None
    if exact <= 0:
        raise InputError(f"ratio {ratio} is not above 0", mend="give one above 0, such as 0.3")
    found = round(exact * n)
    if found < 1:
        what = f"ratio {ratio} of {n} nodes leaves no node"
        raise InputError(what, mend=f"give a ratio from {1 / n:.2g} up" if n else "give a graph with nodes")
    return found


def rescale(
    matrices: DegreeMatrices,
    ratio: float | str | Fraction | None = None,
    *,
    nodes: int | None = None,
    seed: int = 0,
    sample: int = 0,
    on_infeasible: OnInfeasible = "clip",
) -> Plan:
    """Degree matrices for `ratio` times as many nodes, or for `nodes` nodes.

    Args:
        matrices: those of the original.
        ratio: s; a rounded number of nodes is taken.
        nodes: n' itself.
        seed: decides between equally good roundings, together with `sample`.
        sample: the number of the sample.
        on_infeasible: where hubs have more neighbours than there are nodes, `clip` their degrees, or `raise`.

    Raises:
        InputError: a bad size, or degrees that no graph of this size has and `raise`.
        CannotBalance: the degrees that occur are too far apart to make stubs even.
    """
    if on_infeasible not in ("clip", "raise"):
        raise InputError(f"on_infeasible {on_infeasible!r} is unknown", mend="take clip or raise")
    n_new = scaled_nodes(matrices.n, ratio, nodes)
    if n_new % matrices.n == 0:
        scaled = np.array([1, 1, n_new // matrices.n])
        exact = DegreeMatrices(matrices.jdm * scaled, matrices.dcm * scaled)
        return Plan(exact, certify(matrices, exact, Balanced(exact.jdm, 0, 0, 0), 0, None))
    source = generator(seed, sample, _PURPOSE)
    balanced = balance_stubs(matrices.jdm, round_jdm(matrices.jdm, n_new, source), n_new)
    jdm, clipped = repair(balanced.jdm, source)
    if clipped:
        _tell(clipped, balanced.jdm, n_new, on_infeasible)
    if not jdm[:, 0].any():
        bare = DegreeMatrices(jdm, np.zeros((0, 3), np.int64))
        return Plan(bare, certify(matrices, bare, balanced, clipped, None))
    fitted = fit_dcm(matrices, jdm, source)
    found = DegreeMatrices(jdm, fitted.dcm)
    broken = validate(found.jdm, found.dcm)
    if broken:
        raise RuntimeError(f"rescaled degree matrices that no graph has: {broken[0]}")
    return Plan(found, certify(matrices, found, balanced, clipped, fitted))


def _tell(clipped: int, jdm: Rows, n_new: int, on_infeasible: OnInfeasible) -> None:
    edges = int((jdm[:, 0] * jdm[:, 2]).sum())
    what = f"{n_new} nodes are too few for the largest degrees: {clipped} of {edges} edges are cut off"
    if on_infeasible == "raise":
        raise InputError(what, mend="take a larger ratio, or on_infeasible=clip")
    if clipped > _WORTH_A_WARNING * edges:
        message = f"{what}, and degree distributions are not kept; take a larger ratio"
        warnings.warn(message, InputWarning, stacklevel=3)
