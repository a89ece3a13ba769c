"""The system of TSDiff: windows of one series and its lags on a DDPM chain, the network predicts the noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import DiscreteChain, GaussianPath
from scorefield.core.preconditioning import Preconditioned
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, System
from scorefield.domains.series.tsdiff.kernels import Kernel
from scorefield.domains.series.tsdiff.network import TSDiffNetwork

__all__ = ["BETAS", "DEFAULT_SAMPLER", "TSDiff", "published_sampler"]

BETAS = (1e-4, 0.1)
"""First and last beta of the published chain, whatever its number of steps."""


def published_sampler(num_steps: int) -> SamplerSettings:
    """Ancestral sampling over the whole chain, and raw weights."""
    return SamplerSettings("ddpm", num_steps - 1, "raw", {"grid": "uniform", "final": "denoise"})


DEFAULT_SAMPLER = published_sampler(100)


class TSDiff:
    """Hyper-parameters of TSDiff; the defaults are those published.

    Data that come with features (`given`) make it TSDiff-Cond: the features enter every block.

    Args:
        width: hidden width.
        blocks: residual blocks.
        embedding: size of the sinusoids of the chain's index.
        states: states of each S4 system.
        kernel: `dplr`, the published form of S4, or `diag` (S4D), which trains quicker.
        skip: whether the noised window is added to the network's output, as published for some of the data sets.
        num_steps: steps of the diffusion chain, at least 2.
        path: another path than the published chain of that many steps.
        data_std: root mean square of the scaled data; if given, the network is preconditioned
            (`core.preconditioning`) and sees the log signal-to-noise ratio, from 0 to num_steps, in place of an index.
        sampling: default sampler of the run; by default that of publication, for a chain of 100 steps.

    Raises:
        InputError: a size that cannot be.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 3,
        embedding: int = 128,
        states: int = 128,
        kernel: Kernel = "dplr",
        skip: bool = False,
        num_steps: int = 100,
        path: GaussianPath | None = None,
        data_std: float | None = None,
        sampling: SamplerSettings = DEFAULT_SAMPLER,
    ) -> None:
        for name, count in (("width", width), ("blocks", blocks)):
            if count < 1:
                raise InputError(f"{name} is {count}", mend="give at least 1")
        for name, count, least in (("embedding", embedding, 4), ("states", states, 2)):
            if count < least or count % 2:
                raise InputError(f"{name} is {count}", mend=f"give an even number, at least {least}")
        if kernel not in get_args(Kernel):
            raise unknown("kernel", kernel, get_args(Kernel))
        if num_steps < 2:
            raise InputError(f"num_steps is {num_steps}", mend="a diffusion chain needs at least 2 steps")
        if isinstance(path, DiscreteChain) and path.num_steps != num_steps:
            raise InputError(f"num_steps is {num_steps}, the path has {path.num_steps}", mend="give the same")
        self.path = DiscreteChain("linear", num_steps, BETAS) if path is None else path
        self.width, self.blocks, self.embedding, self.states = width, blocks, embedding, states
        self.kernel, self.skip, self.num_steps, self.data_std = kernel, skip, num_steps, data_std
        self.sampling = sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for windows of `length` steps and `features` channels, perhaps with so many features `given`."""
        network = self.network(sizes)
        if self.data_std is None:
            return System({"x": Component(self.path, Masked(), "noise")}, network)
        whole = Preconditioned(network, {"x": self.path}, self.data_std)
        return System({"x": Component(self.path, Masked(), "data")}, whole)

    def network(self, sizes: Mapping[str, int]) -> TSDiffNetwork:
        """The network for these sizes."""
        return TSDiffNetwork(
            sizes["length"],
            sizes["features"],
            self.num_steps,
            self.width,
            self.blocks,
            self.embedding,
            self.states,
            sizes.get("given", 0),
            self.skip and self.data_std is None,
            self.kernel,
        )
