"""Moment matching: observations weighed against what the network itself is sure of.

At x_t the data have mean x0_hat and, by Tweedie's second formula, covariance V = (sigma^2 / alpha) d x0_hat / d x_t.
With y = A x_0 and an error of variance s^2 the data prediction given y is then

    x0_hat + V A^T (A V A^T + s^2)^-1 (y - A x0_hat)

on the free entries of all components together, which is exact for Gaussian data, also where entries depend on each
other strongly; a network's derivative is all that is needed, no guess of how certain x0_hat is. The system is solved by
a few steps of conjugate residuals, each one derivative of the network along a vector.

A trained network's derivative is a covariance only roughly, worst where noise is high. Conjugate residuals never leave
a residual larger than it was, however small the variance along a direction; of conjugate gradients, which have no such
bound, single paths run away. A sample takes no further steps where what is left has no or negative variance, and
predictions are held within `bounds`.

Source: Rozet et al. 2024 (arXiv 2405.13712); Boys et al. 2023 (arXiv 2310.06721) for the covariance.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guidance.observations import GaussianObservation
from scorefield.core.guidance.potentials import Potential, parts, together
from scorefield.core.guide import Guide, Run
from scorefield.core.state import State
from scorefield.core.system import Values, placed

__all__ = ["Moments"]

Vector = list[Tensor]


class Moments(Guide):
    """Guide by Gaussian observations, with the covariance that the network's derivative tells.

    Args:
        potential: an observation, or several; they take no weights. Their `prior_std` is not looked at.
        iterations: steps of conjugate residuals at each evaluation; each takes a backward pass.
        bounds: predictions are held in [-bounds, bounds], where the data lie in such a range.

    Raises:
        InputError: a potential is no Gaussian observation or carries a weight, or a number that cannot be.
    """

    gradient = True

    def __init__(
        self, potential: Potential | Sequence[Potential], iterations: int = 3, bounds: float | None = None
    ) -> None:
        from scorefield.core.guidance.registry import suit

        whole = together(potential)
        suit("moments", whole)
        if any(weight != 1 for weight, _ in parts(whole)):
            raise InputError("moments weighs observations by their errors", mend="leave weights out, choose std")
        if iterations < 1 or not (bounds is None or bounds > 0):
            raise InputError(f"{iterations} iterations, bounds {bounds}", mend="give at least 1, and bounds above 0")
        self.observations = [part for _, part in parts(whole) if isinstance(part, GaussianObservation)]
        self.iterations, self.bounds = iterations, bounds
        self._factors: dict[str, list[float]]
        self._run: Run
        self._origins: Values

    def begin(self, run: Run) -> Guide:
        """See `Guide.begin`."""
        mine = copy.copy(self)
        mine.observations = [observation.begin(run) for observation in self.observations]
        mine._run, mine._origins = run, run.system.origins(run.state)
        mine._factors = {}
        times = torch.tensor(run.plan.times, dtype=torch.float64)
        for name, component in run.system.components.items():
            alpha = component.path.alpha(times)
            blind = times[alpha <= 0]
            if len(blind):
                what = f"moments need a signal, {name} has none at t = {float(blind[0]):g}"
                raise InputError(what, mend="start the run later, as with the solver's argument start=0.999")
            mine._factors[name] = (component.path.variance(times) / alpha).tolist()
        return mine

    def select(self, ancestors: Tensor) -> None:
        """See `Guide.select`."""
        self._origins = {n: o[ancestors] for n, o in self._origins.items()}

    def predict(self, state: State, data: Values, index: int, t: Tensor) -> Values:
        """See `Guide.predict`."""
        with torch.enable_grad():
            seen = placed(data, self._origins)
            # Residuals are affine in the prediction: their derivative along it is A, on what is observed.
            residuals = [o.residual(state, seen) * _share(o) for o in self.observations]

            def apply(vectors: Vector) -> tuple[Vector, Vector]:
                spread = self._spread(state, residuals, vectors, index)
                return self._observed(state, vectors, spread), list(spread.values())

            wanted = [-residual.detach() for residual in residuals]
            moved = dict(zip(self._factors, _solved(apply, wanted, self.iterations), strict=True))
        guided = {n: v + moved[n] for n, v in data.items()}  # other guides may differentiate v again
        return guided if self.bounds is None else {n: self._held(n, v) for n, v in guided.items()}

    def _spread(self, state: State, residuals: Vector, vectors: Vector, index: int) -> Values:
        """V A^T v by component."""
        total = torch.stack([(r * v).sum() for r, v in zip(residuals, vectors, strict=True)]).sum()
        names = list(self._factors)
        found = torch.autograd.grad(total, [state[n] for n in names], retain_graph=True, allow_unused=True)
        spread = {}
        for name, gradient in zip(names, found, strict=True):
            space = self._run.system.components[name].space
            along = torch.zeros_like(state[name]) if gradient is None else space.project(gradient, state.masks)
            spread[name] = along * (self._factors[name][index] * space.copies)
        return spread

    def _observed(self, state: State, vectors: Vector, spread: Values) -> Vector:
        """A (V A^T v) + s^2 v."""
        observed = []
        for observation, vector in zip(self.observations, vectors, strict=True):
            value, given = observation.known(state)
            through = spread[observation.component]
            if observation.operator is not None:
                through = observation.operator(through)
            variance = torch.as_tensor(observation.std).to(value) ** 2
            observed.append(torch.where(given, through, 0.0) * _share(observation) + variance * vector)
        return observed

    def _held(self, name: str, value: Tensor) -> Tensor:
        """The prediction within bounds; those of u, where there is an origin."""
        origin, bounds = self._origins.get(name), self.bounds or 0.0
        if origin is None:
            return value.clamp(-bounds, bounds)
        return (value + origin).clamp(-bounds, bounds) - origin


def _share(observation: GaussianObservation) -> float:
    """Weight of its entries with which each observed free entry counts once in sums of squares."""
    return float(observation.copies**-0.5)


def _dot(a: Vector, b: Vector) -> Tensor:
    return torch.stack([(x * y).flatten(1).sum(1) for x, y in zip(a, b, strict=True)]).sum(0)


def _scaled(a: Vector, factors: Tensor) -> Vector:
    return [x * factors.reshape(-1, *[1] * (x.ndim - 1)) for x in a]


def _stepped(vectors: Vector, factors: Tensor, along: Vector) -> Vector:
    return [v + d for v, d in zip(vectors, _scaled(along, factors), strict=True)]


def _share_of(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole where both are above 0, else 0."""
    return torch.where(part > 0, part / whole.clamp(min=torch.finfo(whole.dtype).tiny), 0.0)


def _solved(apply: Callable[[Vector], tuple[Vector, Vector]], right: Vector, iterations: int) -> Vector:
    """V A^T z where (A V A^T + s^2) z is `right`, by conjugate residuals from zero, each sample by itself.

    V A^T is linear: what it makes of z is summed up from what it makes of the directions, without another derivative.

    Args:
        apply: of a vector v, (A V A^T + s^2) v and V A^T v.
        right: the right side.
        iterations: directions, at least 1.
    """
    left, (image, spread) = right, apply(right)
    variance = _dot(left, image)
    moved = [torch.zeros_like(s) for s in spread]
    for number in range(iterations):
        step = _share_of(variance, _dot(image, image))
        moved, left = _stepped(moved, step, spread), _stepped(left, -step, image)
        if number + 1 < iterations:
            next_image, next_spread = apply(left)
            before, variance = variance, _dot(left, next_image)
            turn = _share_of(variance, before)
            image, spread = _stepped(next_image, turn, image), _stepped(next_spread, turn, spread)
    return moved
