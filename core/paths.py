"""Gaussian paths: x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 the data and t = 1 the noise.

A path is two functions, log alpha and the variance sigma^2; everything else follows. With f = (log alpha)' the linear
SDE of the path is dx = f x dt + g dW, g^2 = (sigma^2)' - 2 f sigma^2, and half the log signal-to-noise ratio is
log_snr = log alpha - log sigma, strictly decreasing in t.

Sources: Song et al. 2021 (arXiv 2011.13456) for VP, sub-VP and VE; Ho et al. 2020 (arXiv 2006.11239) and Nichol and
Dhariwal 2021 (arXiv 2102.09672) for the discrete chains and the cosine; Karras et al. 2022 (arXiv 2206.00364) for EDM;
Lipman et al. 2023 (arXiv 2210.02747) for the linear path; Luo et al. 2023 (arXiv 2301.11699) for mean reversion.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from scorefield.core.errors import InputError

__all__ = [
    "EDM", "VE", "VP", "Cosine", "DiscreteChain", "GaussianPath", "Linear", "MeanReverting", "Polynomial", "SubVP",
]  # fmt: skip


def _derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Exact derivative of an elementwise function; differentiable where `t` asks for it."""
    with torch.inference_mode(False), torch.enable_grad():  # backwards: ten times quicker here than forwards
        leaf = t if t.requires_grad else t.detach().clone().requires_grad_()
        value = function(leaf)
        if value.requires_grad:
            return torch.autograd.grad(value.sum(), leaf, create_graph=t.requires_grad)[0]
        return torch.zeros_like(leaf)


class GaussianPath(ABC):
    """A Gaussian path.

    Attributes:
        prior_std: standard deviation of the prior at t = 1, in the data's units. It is N(0, 1) for the published
            VP models and chains, even where their sigma(1) is smaller.
        t_min: smallest time at which a solver evaluates a network; `t_least` that of likelihoods.
        t_max: largest time at which one does; below 1 where the signal vanishes there.
    """

    prior_std: float = 1.0
    t_min: float = 1e-3
    t_least: float = 1e-5
    t_max: float = 1.0

    @abstractmethod
    def log_alpha(self, t: Tensor) -> Tensor:
        """Logarithm of the signal's scale at times `t`, any shape."""

    @abstractmethod
    def variance(self, t: Tensor) -> Tensor:
        """Variance of the noise at times `t`."""

    def alpha(self, t: Tensor) -> Tensor:
        """Scale of the signal."""
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        """Scale of the noise."""
        return self.variance(t).sqrt()

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha / sigma): half the log signal-to-noise ratio."""
        return self.log_alpha(t) - 0.5 * self.variance(t).log()

    def time_of(self, log_snr: Tensor) -> Tensor:
        """The time in [0, 1] at which the path has this `log_snr`, by bisection to the last float64 digit."""
        target = log_snr.double()
        low, high = torch.zeros_like(target), torch.ones_like(target)
        for _ in range(64):
            middle = 0.5 * (low + high)
            early = self.log_snr(middle) > target
            low, high = torch.where(early, middle, low), torch.where(early, high, middle)
        return 0.5 * (low + high)

    def drift(self, t: Tensor) -> Tensor:
        """f = (log alpha)'."""
        return _derivative(self.log_alpha, t)

    def diffusion(self, t: Tensor) -> Tensor:
        """g, the scale of the Wiener process."""
        growth = _derivative(self.variance, t) - 2 * self.drift(t) * self.variance(t)
        return growth.clamp(min=0).sqrt()

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """Derivative of alpha."""
        return _derivative(self.alpha, t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """Derivative of sigma."""
        return _derivative(self.sigma, t)

    def transition(self, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Scale alpha(s) / alpha(t), and the standard deviation of the forward transition between s and t.

        For s < t the forward transition from s to t has x_t = x_s / scale + std eps; both are smooth in s, also
        below s = 0, where the last step of symmetric splitting may end.
        """
        scale = (self.log_alpha(s) - self.log_alpha(t)).exp()
        return scale, (self.variance(t) - self.variance(s) / scale**2).clamp(min=0).sqrt()

    def discretised(self, t: Tensor, num_scales: int) -> tuple[Tensor, Tensor]:
        """The published chain of `num_scales` steps at times `t`: x' = (1 + decay) x + scale eps; (decay, scale)."""
        return self.drift(t) / num_scales, self.diffusion(t) / math.sqrt(num_scales)

    def langevin_scale(self, t: Tensor, num_scales: int) -> Tensor:
        """Factor of the Langevin corrector's step size at times `t` (1 - beta_i for VP, else 1)."""
        return torch.ones_like(t)


class VP(GaussianPath):
    """Variance preserving, beta linear in t.

    Args:
        beta_min: beta(0).
        beta_max: beta(1). With 1 (GDSS) alpha(1) is 0.76: the prior N(0, 1) is then only near the path's end.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        _check_range("beta_min", beta_min, "beta_max", beta_max)
        self.beta_min, self.beta_max = beta_min, beta_max

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return -torch.expm1(2 * self.log_alpha(t))

    def time_of(self, log_snr: Tensor) -> Tensor:
        """See `GaussianPath.time_of`; the root of the quadratic log_alpha, in the form that does not cancel."""
        rest = 0.5 * torch.nn.functional.softplus(-2 * log_snr.double())  # -log alpha
        root = (0.25 * self.beta_min**2 + (self.beta_max - self.beta_min) * rest).sqrt()
        return 2 * rest / (root + 0.5 * self.beta_min)

    def _betas(self, t: Tensor, num_scales: int) -> Tensor:
        if num_scales <= self.beta_max:
            what = f"a chain of {num_scales} steps has no entry for beta_max = {self.beta_max:g}"
            raise InputError(what, mend="give more steps, or num_scales=1000")
        table = torch.linspace(self.beta_min / num_scales, self.beta_max / num_scales, num_scales, dtype=t.dtype)
        return table.to(t.device)[(t * (num_scales - 1)).long()]

    def discretised(self, t: Tensor, num_scales: int) -> tuple[Tensor, Tensor]:
        """The chain of Ho et al.: beta_i from a table of `num_scales` entries."""
        betas = self._betas(t, num_scales)
        return (1 - betas).sqrt() - 1, betas.sqrt()

    def langevin_scale(self, t: Tensor, num_scales: int) -> Tensor:
        """1 - beta_i."""
        return 1 - self._betas(t, num_scales)


class SubVP(GaussianPath):
    """Sub-VP: the alpha of VP, and sigma = 1 - alpha^2.

    Args:
        beta_min: beta(0).
        beta_max: beta(1).
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        self._vp, self.beta_min, self.beta_max = VP(beta_min, beta_max), beta_min, beta_max

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return self._vp.log_alpha(t)

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return self._vp.variance(t) ** 2

    def langevin_scale(self, t: Tensor, num_scales: int) -> Tensor:
        """1 - beta_i, as for VP."""
        return self._vp.langevin_scale(t, num_scales)


class VE(GaussianPath):
    """Variance exploding: alpha = 1 and sigma geometric in t.

    Args:
        sigma_min: sigma(0).
        sigma_max: sigma(1), also the prior's standard deviation.
    """

    t_min = 1e-5

    def __init__(self, sigma_min: float = 0.01, sigma_max: float = 50.0) -> None:
        _check_range("sigma_min", sigma_min, "sigma_max", sigma_max)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return torch.zeros_like(t)

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return (2 * (math.log(self.sigma_min) + t * math.log(self.sigma_max / self.sigma_min))).exp()

    def discretised(self, t: Tensor, num_scales: int) -> tuple[Tensor, Tensor]:
        """Increments of the variance over a geometric table; the one before its first entry counts as zero."""
        log_sigmas = torch.linspace(math.log(self.sigma_min), math.log(self.sigma_max), num_scales, dtype=t.dtype)
        variances = torch.cat([torch.zeros(1, dtype=t.dtype), (2 * log_sigmas).exp()]).to(t.device)
        index = (t * (num_scales - 1)).long()
        return torch.zeros_like(t), (variances[index + 1] - variances[index]).sqrt()


class EDM(GaussianPath):
    """alpha = 1, sigma = sigma_max t: the path of Karras et al., whose time is sigma itself, scaled to [0, 1].

    Args:
        sigma_min: noise at the last evaluation.
        sigma_max: sigma(1), also the prior's standard deviation.
    """

    def __init__(self, sigma_min: float = 0.002, sigma_max: float = 80.0) -> None:
        _check_range("sigma_min", sigma_min, "sigma_max", sigma_max)
        self.sigma_min, self.sigma_max, self.prior_std = sigma_min, sigma_max, sigma_max
        self.t_min = self.t_least = sigma_min / sigma_max

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return torch.zeros_like(t)

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return (self.sigma_max * t) ** 2

    def sigma(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.sigma_max * t

    def time_of(self, log_snr: Tensor) -> Tensor:
        """See `GaussianPath.time_of`."""
        return ((-log_snr.double()).exp() / self.sigma_max).clamp(max=1)


class Cosine(GaussianPath):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Args:
        least_log_snr: evaluations begin at the time of this log signal-to-noise ratio, as the signal vanishes at 1.
    """

    def __init__(self, least_log_snr: float = -5.1) -> None:
        if not least_log_snr < 0:
            raise InputError(f"least_log_snr = {least_log_snr:g} of a path", mend="give a negative number")
        self.least_log_snr = least_log_snr
        self.t_max = math.atan(math.exp(-least_log_snr)) * 2 / math.pi

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.alpha(t).log()

    def alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return (0.5 * math.pi * t).cos()

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.sigma(t) ** 2

    def sigma(self, t: Tensor) -> Tensor:
        """See the class."""
        return (0.5 * math.pi * t).sin()


class Polynomial(GaussianPath):
    """alpha = (1 - t)^n, sigma = 1 - alpha.

    Args:
        power: n.
    """

    def __init__(self, power: float = 2.0) -> None:
        if not power > 0:
            raise InputError(f"power {power:g} of a path", mend="give a positive number")
        self.power = power

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.power * torch.log1p(-t)

    def alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return (1 - t) ** self.power

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return self.sigma(t) ** 2

    def sigma(self, t: Tensor) -> Tensor:
        """See the class."""
        return -torch.expm1(self.log_alpha(t))

    def time_of(self, log_snr: Tensor) -> Tensor:
        """See `GaussianPath.time_of`: alpha / (1 - alpha) = exp(log_snr)."""
        return -torch.expm1(torch.nn.functional.logsigmoid(log_snr.double()) / self.power)


class Linear(Polynomial):
    """alpha = 1 - t, sigma = t: rectified flow, conditional optimal transport."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """See the class."""
        return t


class MeanReverting(GaussianPath):
    """An Ornstein-Uhlenbeck process towards a mean mu: x_t = alpha x_0 + (1 - alpha) mu + sigma eps.

    The path acts on x - mu, so a component on it carries mu as its `origin`.

    Args:
        rate_min: rate of reversion at t = 0; linear in t.
        rate_max: rate of reversion at t = 1.
        sigma_inf: standard deviation of the stationary distribution; sigma^2 = sigma_inf^2 (1 - alpha^2).
    """

    def __init__(self, rate_min: float = 0.05, rate_max: float = 10.0, sigma_inf: float = 1.0) -> None:
        _check_range("rate_min", rate_min, "rate_max", rate_max)
        if not sigma_inf > 0:
            raise InputError(f"sigma_inf = {sigma_inf:g}", mend="give a positive number")
        self.rate_min, self.rate_max, self.sigma_inf = rate_min, rate_max, sigma_inf
        self.prior_std = float(self.sigma(torch.ones((), dtype=torch.float64)))

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        return -t * (self.rate_min + 0.5 * t * (self.rate_max - self.rate_min))

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return -(self.sigma_inf**2) * torch.expm1(2 * self.log_alpha(t))


class DiscreteChain(GaussianPath):
    """A DDPM chain of N steps: its exact table at t = (n + 1) / N, log alpha linear between.

    Args:
        schedule: `linear` (beta from 1e-4 to 0.02 at N = 1000, scaled to other N) or `cosine` (offset 0.008, beta
            at most 0.999).
        num_steps: N.
        betas: first and last beta of a linear schedule, in place of the scaled ones.
    """

    def __init__(
        self, schedule: Literal["linear", "cosine"] = "linear", num_steps: int = 1000, betas: Sequence[float] = ()
    ) -> None:
        if schedule not in ("linear", "cosine"):
            raise InputError(f"unknown schedule {schedule!r}", mend="give linear or cosine")
        if num_steps < 2:
            raise InputError(f"a chain of {num_steps} steps", mend="give at least 2")
        self.schedule, self.num_steps = schedule, num_steps
        self.t_min = self.t_least = 1 / num_steps
        if betas and not (schedule == "linear" and len(betas) == 2 and 0 < betas[0] <= betas[1] < 1):
            raise InputError(f"betas {list(betas)} of a {schedule} chain", mend="give two in (0, 1), of a linear one")
        self.betas = _linear_betas(num_steps, betas) if schedule == "linear" else _cosine_betas(num_steps)
        log_alphas = 0.5 * torch.log1p(-self.betas).cumsum(0)
        self._table = torch.cat([torch.zeros(1, dtype=torch.float64), log_alphas])

    def log_alpha(self, t: Tensor) -> Tensor:
        """See the class."""
        table = self._table.to(t.device, t.dtype)
        index = (t.detach() * self.num_steps).floor().long().clamp(0, self.num_steps - 1)
        return table[index] + (table[index + 1] - table[index]) * (t * self.num_steps - index)

    def variance(self, t: Tensor) -> Tensor:
        """See the class."""
        return -torch.expm1(2 * self.log_alpha(t))


def _linear_betas(num_steps: int, ends: Sequence[float]) -> Tensor:
    first, last = ends or (1e-4 * (1000 / num_steps), 0.02 * (1000 / num_steps))
    return torch.linspace(first, last, num_steps, dtype=torch.float64).clamp(max=0.999)


def _cosine_betas(num_steps: int) -> Tensor:
    squared = ((torch.linspace(0, 1, num_steps + 1, dtype=torch.float64) + 0.008) / 1.008 * math.pi / 2).cos() ** 2
    return (1 - squared[1:] / squared[:-1]).clamp(max=0.999)


def _check_range(low_name: str, low: float, high_name: str, high: float) -> None:
    if not 0 < low <= high:
        raise InputError(f"{low_name} = {low}, {high_name} = {high}", mend=f"need 0 < {low_name} <= {high_name}")
