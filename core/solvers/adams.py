"""Adams methods on y = x / alpha against rho = sigma / alpha, whose slope dy / drho is the noise prediction.

DEIS puts a polynomial through past predictions, in t or in rho, and integrates it exactly (up to quadrature):

    x' = alpha'/alpha x + alpha' sum_k C_k eps_k,   C_k = int_rho^rho' L_k drho

The others take the weights of equal steps, on predictions (iPNDM) or on a velocity v that averages them with memory
1 - beta (the heavy ball), for stability under strong guidance:

    v_n = (1 - beta) v_(n-1) + beta sum_k a_k eps_(n-k),   y' = y + v_n drho                        (HB)
    v_n = (1 - beta) v_(n-1) + beta eps_n,                 y' = y + sum_k g_k v_(n-k) drho          (GHVB)

Sources: Zhang and Chen 2023 (DEIS, arXiv 2204.13902); Liu et al. 2022 (PNDM, arXiv 2202.09778); Wizadwongsa et al. 2023
(heavy ball, arXiv 2307.11118).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from scorefield.core.errors import InputError
from scorefield.core.paths import GaussianPath
from scorefield.core.predictions import Kind
from scorefield.core.solvers.steps import NODES, WEIGHTS, Steps, lagrange
from scorefield.core.solvers.table import Combination, Layout, Move, Rule

__all__ = ["DEIS", "HeavyBall"]


class DEIS(Rule):
    """tAB-DEIS and rhoAB-DEIS.

    Args:
        order: values used; 1 is DDIM, 4 is what the paper calls tAB3.
        variable: what the polynomial is in, `t` or `rho`.
    """

    kind: Kind = "noise"

    def __init__(self, order: int = 4, variable: Literal["t", "rho"] = "t") -> None:
        if order < 1 or variable not in ("t", "rho"):
            raise InputError(f"no DEIS of order {order} in {variable}", mend="give order >= 1, variable t or rho")
        self.order = self.least_steps = order
        self.variable = variable

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`; integrals run over rho, which needs no derivative of the path."""
        s = Steps.of(path, layout.boundaries, "noise")
        moves = []
        for i in range(len(s)):
            order = min(self.order, i + 1)
            low, high = s.ratio(i), s.ratio(i + 1)
            at = low + (high - low) * NODES
            newest = range(i, i - order, -1)
            if self.variable == "t":
                past = [float(layout.boundaries[k]) for k in newest]
                at = np.asarray(path.time_of(-torch.from_numpy(at).log()))
            else:
                past = [s.ratio(k) for k in newest]
            weights = (high - low) * lagrange(past, at) @ WEIGHTS
            values = (s.alpha[i + 1] * weights).tolist()
            moves.append(Move(Combination(x=s.alpha[i + 1] / s.alpha[i], values=tuple(values))))
        return moves


_GAMMA = (1, 1 / 2, 5 / 12, 3 / 8, 251 / 720)
"""Adams-Bashforth on equal steps: coefficients of backward differences."""


def _equal_steps(order: int, beta: float = 1.0) -> np.ndarray:
    """Weights of the newest `order` values, g of GHVB; Adams-Bashforth for beta = 1.

    With eps = v + (1 / beta - 1) D v, D the backward difference, Adams-Bashforth's sum of gamma_k D^k eps, cut after
    D^(order - 1) v, has the coefficients gamma_k + (1 / beta - 1) gamma_(k-1).
    """
    weights = np.zeros(order)
    for k in range(order):
        factor = _GAMMA[k] + (1 / beta - 1) * (_GAMMA[k - 1] if k else 0)
        weights[: k + 1] += factor * np.array([(-1) ** j * math.comb(k, j) for j in range(k + 1)])
    return weights


class HeavyBall(Rule):
    """GHVB and HB; with beta = 1 both are Adams-Bashforth, iPNDM where the order is 4.

    Args:
        order: values used; the weights are those of equal steps of rho, so they suit grids that are even in it.
        beta: share of the newest prediction in the velocity; 1 has no memory.
        averaged: `predictions` is GHVB, `increments` HB, which is of order 1.
    """

    kind: Kind = "noise"

    def __init__(
        self, order: int = 2, beta: float = 0.8, averaged: Literal["predictions", "increments"] = "predictions"
    ) -> None:
        if not 1 <= order <= len(_GAMMA) or not 0 < beta <= 1:
            raise InputError(f"order {order}, beta {beta:g}", mend=f"need order 1 to {len(_GAMMA)}, 0 < beta <= 1")
        if averaged not in ("predictions", "increments"):
            raise InputError(f"averaged {averaged!r}", mend="give predictions or increments")
        self.order = self.least_steps = order
        self.beta, self.averaged = beta, averaged

    def moves(self, path: GaussianPath, layout: Layout) -> list[Move]:
        """See `Rule.moves`; the anchor holds a velocity."""
        s = Steps.of(path, layout.boundaries, "noise")
        moves = []
        for i in range(len(s)):
            velocity, share, values = self._generalised(i) if self.averaged == "predictions" else self._plain(i)
            gain = s.alpha[i + 1] * (s.ratio(i + 1) - s.ratio(i))
            point = Combination(s.alpha[i + 1] / s.alpha[i], gain * share, tuple((gain * values).tolist()))
            moves.append(Move(point, velocity))
        return moves

    def _plain(self, i: int) -> tuple[Combination, float, np.ndarray]:
        """The newest velocity, and the increment as shares of it and of predictions."""
        if i == 0:
            return Combination(values=(1.0,)), 1.0, np.zeros(1)
        weights = self.beta * _equal_steps(min(self.order, i + 1))
        return Combination(anchor=1 - self.beta, values=tuple(weights.tolist())), 1.0, np.zeros(1)

    def _generalised(self, i: int) -> tuple[Combination, float, np.ndarray]:
        """The oldest velocity in use, from which predictions lead to all newer ones, and the increment."""
        depth = min(self.order, i + 1)
        zeros = (0.0,) * (depth - 1)
        oldest = Combination(values=(*zeros, 1.0))
        if i >= self.order:
            oldest = Combination(anchor=1 - self.beta, values=(*zeros, self.beta))
        share, values = 0.0, np.zeros(depth)
        for j, weight in enumerate(_equal_steps(depth, self.beta).tolist()):
            share += weight * (1 - self.beta) ** (depth - 1 - j)
            for k in range(j, depth - 1):
                values[k] += weight * self.beta * (1 - self.beta) ** (k - j)
        return oldest, share, values
