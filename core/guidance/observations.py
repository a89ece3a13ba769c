"""Observations: what is known of a component of the data, exactly or with an error.

Where y is observed of A x_0, a Gaussian error of standard deviation s has the energy |y - A x_0|^2 / (2 s^2), and a
quantile observation that of the asymmetric Laplace distribution, sum max(k d, (k - 1) d) / s of d = y - A x_0.

Sources: Chung et al. 2023 (arXiv 2209.14687) and Song et al. 2023 (ICLR, pseudoinverse guidance) for the Gaussian;
Kollovieh et al. 2023 (arXiv 2307.11494, section 3.2) for the quantile.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guide import Run
from scorefield.core.spaces import Masked, Space, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.system import Component, Values

__all__ = ["GaussianObservation", "Matrix", "Observation", "QuantileObservation"]

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Matrix:
    """A linear operator `[M, D]`: on the last axis where that has D entries, else on all D entries of a sample.

    Attributes:
        rows: the matrix.
    """

    rows: Tensor

    def _on_last_axis(self, shape: torch.Size) -> bool:
        return shape[-1] == self.rows.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        """A x, `[B, ..., M]` or `[B, M]`.

        Raises:
            InputError: the sizes do not fit.
        """
        flat = x if self._on_last_axis(x.shape) else x.flatten(1)
        if not self._on_last_axis(flat.shape):
            what = f"a matrix of shape {tuple(self.rows.shape)} for samples of shape {tuple(x.shape[1:])}"
            raise InputError(what, mend="give as many columns as a sample has entries, or its last axis")
        return flat @ self.rows.T

    def adjoint(self, value: Tensor, shape: torch.Size) -> Tensor:
        """A^T value as components of this shape `[B, ...]`."""
        return (value @ self.rows).reshape(shape)

    def is_orthonormal(self) -> bool:
        """Whether A A^T = 1."""
        product = self.rows.double() @ self.rows.double().T
        return bool(torch.allclose(product, torch.eye(len(self.rows)).to(product), atol=1e-5))


class Observation(Potential):
    """y = A x_0 on some entries of one component; a subclass says how well.

    Args:
        component: which component is observed.
        value: y of one sample (the same for all, with or without a batch axis of one), missing entries NaN; or the
            name of an entry of the state's condition that holds it for each sample, `[B, ...]`.
        given: which entries of y are observed, bool, like `value`; those that are no NaN, by default.
        operator: A, a matrix `[M, D]` (see `Matrix`) or any differentiable function of the component; by default the
            component itself is observed.

    Attributes:
        std: standard deviation of the error, where there is one.

    Raises:
        InputError: `value` and `given` differ in shape.
    """

    std: float | Tensor | None = None

    def __init__(
        self,
        component: str,
        value: Tensor | str,
        given: Tensor | str | None = None,
        operator: Tensor | Operator | None = None,
    ) -> None:
        if isinstance(value, Tensor) and isinstance(given, Tensor) and value.shape != given.shape:
            raise InputError(f"values of shape {tuple(value.shape)}, their mask of shape {tuple(given.shape)}")
        self.component, self.value, self.given = component, value, given
        self.operator = Matrix(operator) if isinstance(operator, Tensor) else operator
        self._component: Component

    def begin(self, run: Run) -> Self:
        """See `Potential.begin`."""
        if self.component not in run.system.components:
            known = ", ".join(run.system.components)
            raise InputError(f"no component {self.component!r} to observe", mend=f"there are {known}")
        mine, like = copy.copy(self), run.state[self.component]
        mine._component = run.system.components[self.component]
        if isinstance(self.operator, Matrix):
            mine.operator = Matrix(self.operator.rows.to(like))
        shape = self._observed(like, mine.operator).shape
        mine.value = self._placed(self.value, run.state, shape)
        mine.given = None if self.given is None else self._placed(self.given, run.state, shape)
        mine._check_given(run.state)
        return mine

    def _observed(self, x: Tensor, operator: Operator | None) -> Tensor:
        return x if operator is None else operator(x)

    def _placed(self, value: Tensor | str, state: State, shape: torch.Size) -> Tensor | str:
        """On the run's device and with a batch axis of one; names stay."""
        if isinstance(value, str):
            if value not in state.condition:
                mend = f"it holds {', '.join(state.condition) or 'nothing'}"
                raise InputError(f"the condition has no {value!r} to observe", mend=mend)
            found = state.condition[value]
        else:
            found = value = value[None] if value.ndim == len(shape) - 1 else value
            if len(value) != 1:
                what = f"observed {self.component} has {len(value)} rows"
                raise InputError(what, mend="give one for all, or the name of a condition that has one for each")
            value = value.to(state.device)
        if found.shape[1:] != shape[1:]:
            what = f"observed {self.component} has shape {tuple(found.shape[1:])}"
            raise InputError(what, mend=f"a sample's has {tuple(shape[1:])}")
        return value

    def _check_given(self, state: State) -> None:
        _, given = self.known(state)
        if not bool(given.any()):
            raise InputError(f"nothing is observed of {self.component}", mend="give some entries that are no NaN")
        if self.copies > 1 and not torch.equal(given, given.transpose(-1, -2)):
            what = f"observed {self.component} is not symmetric"
            raise InputError(what, mend="observe the entries (i, j) and (j, i) together")

    @property
    def copies(self) -> int:
        return self._component.space.copies if self.operator is None else 1

    def known(self, state: State) -> tuple[Tensor, Tensor]:
        """y with zeros where it is missing, and which entries are observed and exist; each `[B, ...]` or `[1, ...]`."""
        value: Tensor = state.condition[self.value] if isinstance(self.value, str) else self.value
        given = state.condition[self.given] if isinstance(self.given, str) else self.given
        missing = value.isnan()
        given = ~missing if given is None else given.bool() & ~missing
        if self.operator is None:
            given = given & _existing(self._component.space, state[self.component], state)
        return value.masked_fill(missing, 0).to(state.dtype), given

    def residual(self, state: State, data: Values) -> Tensor:
        """A x0_hat - y on observed entries, 0 elsewhere; `[B, ...]`. Each of a space's copies of an entry counts."""
        value, given = self.known(state)
        return torch.where(given, self._observed(data[self.component], self.operator) - value, 0.0)

    def count(self, state: State) -> Tensor:
        """Observed free entries of each sample, `[B]`."""
        _, given = self.known(state)
        return (given.flatten(1).sum(1) / self.copies).expand(len(state)).to(state.dtype)

    def total(self, values: Tensor) -> Tensor:
        """Sum over observed free entries, `[B]`."""
        return values.flatten(1).sum(1) / self.copies


def _existing(space: Space, like: Tensor, state: State) -> Tensor:
    """Entries that are not padding (nor a diagonal), bool `[B, ...]`."""
    entries = Masked() if isinstance(space, ZeroCentreOfMass) else space
    return entries.project(torch.ones_like(like), state.masks) != 0


class GaussianObservation(Observation):
    """An observation with a Gaussian error.

    Args:
        component: see `Observation`.
        value: see `Observation`.
        std: standard deviation of the error, a number or like `value`.
        given: see `Observation`.
        operator: see `Observation`.
        prior_std: standard deviation of the data, if x_0 is to be taken as uncertain at time t: the variance grows by
            that of x_0 given x_t for Gaussian data, which makes gradient guidance exact for independent Gaussian
            data, and stable with few steps. A must then have orthonormal rows. By default x0_hat counts as certain.

    Raises:
        InputError: a standard deviation that is not positive.
    """

    def __init__(
        self,
        component: str,
        value: Tensor | str,
        std: float | Tensor,
        given: Tensor | str | None = None,
        operator: Tensor | Operator | None = None,
        prior_std: float | None = None,
    ) -> None:
        super().__init__(component, value, given, operator)
        if not bool((torch.as_tensor(std) > 0).all()) or not (prior_std is None or prior_std > 0):
            raise InputError(f"{component} observed with a standard deviation that is not positive")
        self.std: float | Tensor = std
        self.prior_std = prior_std

    def begin(self, run: Run) -> Self:
        """See `Potential.begin`."""
        mine = super().begin(run)
        if isinstance(self.std, Tensor):
            mine.std = self.std.to(run.state.device, run.state.dtype)
            value = mine.known(run.state)[0]
            try:
                mine.std.expand_as(value)
            except RuntimeError:
                what = f"standard deviations of shape {tuple(self.std.shape)}"
                raise InputError(what, mend=f"the observation has {tuple(value.shape[1:])}") from None
        return mine

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        residual = self.residual(state, data)
        return 0.5 * self.total(residual.square() / self._variance(t, residual))

    def _variance(self, t: Tensor, residual: Tensor) -> Tensor | float:
        if self.prior_std is None:
            return self.std**2
        alpha, sigma = self._component.path.alpha(t), self._component.path.sigma(t)
        prior = self.prior_std**2
        uncertain: Tensor = prior * sigma**2 / (prior * alpha**2 + sigma**2)
        return self.std**2 + uncertain.reshape(-1, *[1] * (residual.ndim - 1))


class QuantileObservation(Observation):
    """An observation of a quantile: guidance pulls towards samples whose k-quantile is y.

    Args:
        component: see `Observation`.
        value: see `Observation`.
        level: k, between 0 and 1; or the name of an entry of the state's condition with one for each sample, `[B]`.
        scale: s of the asymmetric Laplace distribution, in the data's units.
        given: see `Observation`.
        operator: see `Observation`.

    Raises:
        InputError: a level or scale that cannot be.
    """

    def __init__(
        self,
        component: str,
        value: Tensor | str,
        level: float | str = 0.5,
        scale: float = 1.0,
        given: Tensor | str | None = None,
        operator: Tensor | Operator | None = None,
    ) -> None:
        super().__init__(component, value, given, operator)
        if isinstance(level, float | int) and not 0 < level < 1:
            raise InputError(f"quantile level {level:g}", mend="give more than 0 and less than 1")
        if not scale > 0:
            raise InputError(f"scale {scale:g} of a quantile observation", mend="give more than 0")
        self.level, self.scale = level, scale

    def begin(self, run: Run) -> Self:
        """See `Potential.begin`."""
        if isinstance(self.level, str):
            if self.level not in run.state.condition:
                raise InputError(f"the condition has no {self.level!r} to take quantile levels from")
            levels = run.state.condition[self.level]
            if not bool(((levels > 0) & (levels < 1)).all()):
                raise InputError(f"quantile levels {self.level!r}", mend="give more than 0 and less than 1")
        return super().begin(run)

    def energy(self, state: State, data: Values, t: Tensor) -> Tensor:
        """See `Potential.energy`."""
        above = -self.residual(state, data)
        level = state.condition[self.level] if isinstance(self.level, str) else self.level
        if isinstance(level, Tensor):
            level = level.to(above.dtype).reshape(-1, *[1] * (above.ndim - 1))
        return self.total(torch.maximum(level * above, (level - 1) * above)) / self.scale
