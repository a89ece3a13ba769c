"""The system of PaD-TS: windows on a Gaussian path, the network predicts the data.

The path is the published cosine chain unless another is given, as our own configurations do (EDM, with a
preconditioned network).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.core.paths import DiscreteChain, GaussianPath
from scorefield.core.preconditioning import Preconditioned
from scorefield.core.settings import SamplerSettings
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, Network, System
from scorefield.domains.series.pad_ts.network import Gelu, PaDTSNetwork

__all__ = ["DEFAULT_SAMPLER", "PaDTS"]

DEFAULT_SAMPLER = SamplerSettings("dpmpp-2m", 19, "ema", {"final": "denoise"})
"""20 evaluations, the last of which gives the windows themselves, inside the range of the data."""


class PaDTS:
    """Hyper-parameters of PaD-TS; the defaults are those published for sines and stocks.

    Args:
        width: hidden width.
        heads: attention heads; they must divide the width.
        encoder_layers: blocks of each encoder.
        decoder_layers: blocks of each decoder.
        mlp_ratio: hidden width of the encoders' perceptrons over the width; the decoders' is 4.
        dropout: share of the embedded inputs that training leaves out.
        gelu: form of the activation, `tanh` as published or `exact`, which is quicker on a CPU.
        num_steps: steps of the diffusion chain, at least 2.
        conditional: whether to learn the classes of labelled data, which sampling can then be asked for
            (`--condition label=NAME`). Nothing changes where data have none.
        label_dropout: share of the labels that training leaves out, for classifier-free guidance.
        path: another path than the cosine chain of that many steps.
        data_std: root mean square of the scaled data; if given, the network is preconditioned
            (`core.preconditioning`) and sees the log signal-to-noise ratio, from 0 to num_steps, in place of an index.
        sampling: default sampler of the run.

    Raises:
        InputError: a size that cannot be.
    """

    def __init__(
        self,
        width: int = 128,
        heads: int = 4,
        encoder_layers: int = 1,
        decoder_layers: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        gelu: Gelu = "tanh",
        num_steps: int = 250,
        conditional: bool = True,
        label_dropout: float = 0.1,
        path: GaussianPath | None = None,
        data_std: float | None = None,
        sampling: SamplerSettings = DEFAULT_SAMPLER,
    ) -> None:
        counts = {"width": width, "heads": heads, "encoder_layers": encoder_layers, "decoder_layers": decoder_layers}
        for name, count in counts.items():
            if count < 1:
                raise InputError(f"{name} is {count}", mend="give at least 1")
        if width % heads:
            raise InputError(f"width {width} with {heads} heads", mend="heads must divide the width")
        if gelu not in get_args(Gelu):
            raise unknown("gelu", gelu, get_args(Gelu))
        if num_steps < 2:
            raise InputError(f"num_steps is {num_steps}", mend="a diffusion chain needs at least 2 steps")
        if isinstance(path, DiscreteChain) and path.num_steps != num_steps:
            raise InputError(f"num_steps is {num_steps}, the path has {path.num_steps}", mend="give the same")
        if not mlp_ratio * width >= 1:
            raise InputError(f"mlp_ratio is {mlp_ratio:g}", mend="give a number above 0")
        for name, share in (("dropout", dropout), ("label_dropout", label_dropout)):
            if not 0 <= share < 1:
                raise InputError(f"{name} is {share:g}", mend="give at least 0 and less than 1")
        self.path = DiscreteChain("cosine", num_steps) if path is None else path
        network = {"mlp_ratio": mlp_ratio, "dropout": dropout, "gelu": gelu, "num_steps": num_steps}
        self.arguments = {**counts, **network}
        self.conditional, self.label_dropout = conditional, label_dropout
        self.data_std, self.sampling = data_std, sampling

    def build(self, sizes: Mapping[str, int]) -> System:
        """The system for windows of `length` steps and `features` features, perhaps of `classes` classes."""
        network: Network
        if self.data_std is None:
            network = self.network(sizes)
        else:
            inner = self.network(sizes, discrete=False, bounds=None)
            network = Preconditioned(inner, {"x": self.path}, self.data_std, (-1.0, 1.0))
        return System({"x": Component(self.path, Masked(), "data")}, network)

    def network(self, sizes: Mapping[str, int], **others: Any) -> PaDTSNetwork:
        """The network for these sizes, with other arguments of it."""
        classes = sizes.get("classes", 0) if self.conditional else 0
        return PaDTSNetwork(
            sizes["length"],
            sizes["features"],
            classes=classes,
            label_dropout=self.label_dropout,
            **others,
            **self.arguments,  # type: ignore[arg-type]
        )

    def tables(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """See `Recipe`: `conditional` says that the network has learnt the classes."""
        return {**tables, "conditional": True} if self.conditional and "labels" in tables else dict(tables)
