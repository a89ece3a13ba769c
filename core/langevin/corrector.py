"""The Langevin corrector: moves along the score at a fixed time, with a step adapted to its norm or to the noise there.

Sources: Song et al. 2021 (arXiv 2011.13456, algorithms 4 and 5); Song and Ermon 2019 (annealed steps, arXiv
1907.05600); the scaled noise is that of GDSS (arXiv 2202.02514).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = ["Langevin", "Sizes"]

Sizes = Literal["adapted", "annealed"]


class Langevin:
    """x' = x + eta score + scale sqrt(2 eta) z with eta = 2 kappa (snr |z| / |score|)^2, or 2 kappa (snr sigma)^2.

    Args:
        snr: ratio of noise to score that sets the step.
        scale: factor on the injected noise (`scale_eps` of GDSS); below 1 it pulls towards the modes.
        steps: moves at each time.
        norms: `sample` takes norms sample by sample, so that results do not depend on a batch's composition;
            `batch` takes their mean over the batch, as published.
        num_scales: length of the path's published table behind kappa (1 - beta_i for VP, else 1).
        sizes: `adapted` to the norms, or `annealed` with the path's sigma.
    """

    def __init__(
        self,
        snr: float = 0.16,
        scale: float = 1.0,
        steps: int = 1,
        norms: Literal["sample", "batch"] = "sample",
        num_scales: int = 1000,
        sizes: Sizes = "adapted",
    ) -> None:
        if not (snr > 0 and scale >= 0) or steps < 1:  # so that NaN is refused too
            raise InputError(
                f"snr {snr:g}, {steps} corrector steps, noise scale {scale:g}", mend="need positive values"
            )
        if norms not in ("sample", "batch"):
            raise InputError(f"norms {norms!r}", mend="give sample or batch")
        if sizes not in get_args(Sizes):
            raise InputError(f"corrector sizes {sizes!r}", mend="give adapted or annealed")
        self.snr, self.scale, self.steps, self.norms, self.num_scales = snr, scale, steps, norms, num_scales
        self.sizes = sizes

    def kappas(self, system: System, times: Tensor) -> list[dict[str, float]]:
        """The factor kappa of every component at every evaluation time; with annealed sizes, kappa sigma^2."""
        t = times.clamp(min=0)
        table = {}
        for name, component in system.components.items():
            kappa = component.path.langevin_scale(t, self.num_scales)
            table[name] = (kappa * component.path.variance(t) if self.sizes == "annealed" else kappa).tolist()
        return [{name: values[i] for name, values in table.items()} for i in range(len(times))]

    def move(self, system: System, state: State, scores: Values, kappa: dict[str, float], noise: NoiseSource) -> State:
        """One move of all components from the same scores; noise is drawn in the components' order."""
        draws = system.noise(state, noise)
        moved = {}
        for name, score in scores.items():
            step = self.step(score, draws[name], kappa[name])
            moved[name] = state[name] + step * score + (self.scale * (2 * step).sqrt()) * draws[name]
        return state.replace(moved)

    def step(self, score: Tensor, noise: Tensor, kappa: float) -> Tensor:
        """eta, `[B, 1, ...]` (of one sample where the batch shares it); 0 where the score vanishes."""
        if self.sizes == "annealed":
            return torch.full_like(score[(slice(1), *[slice(1)] * (score.ndim - 1))], 2 * kappa * self.snr**2)
        score_norm, noise_norm = score.flatten(1).norm(dim=1), noise.flatten(1).norm(dim=1)
        if self.norms == "batch":
            score_norm, noise_norm = score_norm.mean(0, keepdim=True), noise_norm.mean(0, keepdim=True)
        ratio = torch.where(score_norm > 1e-12, noise_norm / score_norm.clamp(min=1e-12), 0.0)
        return (2 * kappa * (self.snr * ratio) ** 2).reshape(-1, *[1] * (score.ndim - 1))
