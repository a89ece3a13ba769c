"""Networks preconditioned for data prediction: what they learn has unit variance at every noise level.

With data of standard deviation s, v = alpha^2 s^2 + sigma^2 and a network F,

    x_0_hat(x_t, t) = (alpha s^2 / v) x_t + (sigma s / sqrt(v)) F(x_t / sqrt(v), t),

which is the best linear prediction and a correction in proportion to what is unknown: errors vanish with the noise,
where a network that predicts x_0 itself would have to copy its input. The weighting `balanced` of
`core.objectives.DenoisingScoreMatching` is the one under which the squared error of F counts alike at every t.

Source: Karras et al. 2022 (arXiv 2206.00364), section 5 and table 1, here for any Gaussian path; with s = 1 on a
variance-preserving path it is the v-prediction of Salimans and Ho 2022 (arXiv 2202.00512).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.draws import SampleStreams
from scorefield.core.path_ends import log_snr_ends
from scorefield.core.paths import GaussianPath
from scorefield.core.state import ORIGIN, State
from scorefield.core.system import Network, Values

__all__ = ["Preconditioned"]


class Preconditioned(Network):
    """Data predictions of every component by a network that sees inputs and gives outputs of unit variance.

    Args:
        network: sees the scaled state, and as its time where the log signal-to-noise ratio of the first path stands
            between the ends of the path, in [0, 1].
        paths: by component.
        data_std: root mean square of the clean data, s.
        bounds: lowest and highest prediction in evaluation mode.

    Raises:
        InputError: `data_std` is not positive, or the first path has no signal (or no noise) at an end.
    """

    def __init__(
        self,
        network: Network,
        paths: Mapping[str, GaussianPath],
        data_std: float = 0.5,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_positive("data_std", data_std)
        self.network, self.paths, self.data_std, self.bounds = network, dict(paths), data_std, bounds
        path = next(iter(self.paths.values()))
        mend = "take another path, such as EDM, VP or Cosine"
        self._high, self._low = log_snr_ends(path, path.t_min, path.t_max, mend=mend)

    @property
    def null_condition(self) -> dict[str, int]:
        """The network's own, for classifier-free guidance."""
        return getattr(self.network, "null_condition", {})

    def draws(self, state: State, streams: SampleStreams) -> Values:
        """See `Network.draws`."""
        return self.network.draws(state, streams)

    def forward(self, state: State, t: Tensor) -> Values:
        """See `Network.forward`."""
        alone = t[:1] if t.stride(0) == 0 else t
        scaled, mixed = {}, {}
        origins = {n: state.condition[ORIGIN + n] for n in self.paths if ORIGIN + n in state.condition}
        for name, path in self.paths.items():
            alpha, sigma = self._shaped(path.alpha(alone), state[name]), self._shaped(path.sigma(alone), state[name])
            variance = (alpha * self.data_std) ** 2 + sigma**2
            value, unit = state[name], variance.rsqrt()
            if name in origins:
                value = value - origins[name]
                scaled[name] = torch.addcmul(origins[name], value, self.data_std * unit)
            else:
                scaled[name] = value * unit
            share = sigma * unit * (1.0 if name in origins else self.data_std)
            mixed[name] = alpha * self.data_std**2 / variance * value, share
        outputs: Values = self.network(state.replace(scaled), self._place(alone).expand(len(t)))
        for name, (kept, share) in mixed.items():
            value = torch.addcmul(kept, share, outputs[name])
            value = value + origins[name] if name in origins else value
            outputs[name] = value if self.training or self.bounds is None else value.clamp(*self.bounds)
        return outputs

    def _place(self, t: Tensor) -> Tensor:
        log_snr: Tensor = next(iter(self.paths.values())).log_snr(t.double())
        place: Tensor = ((self._high - log_snr) / (self._high - self._low)).clamp(0, 1)
        return place.to(t.dtype)

    @staticmethod
    def _shaped(value: Tensor, like: Tensor) -> Tensor:
        shaped: Tensor = value.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
        return shaped
