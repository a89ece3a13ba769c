"""TSDiff written down plainly: what the published procedure computes, without care for its cost.

The convolution kernels of every S4 layer are generated anew at every call, by dense Cauchy sums in complex64 and
Fourier transforms of twice the window's length; guidance evaluates the network twice a step and keeps the graph of all
parameters. Source: Kollovieh et al. 2023 (arXiv 2307.11494), algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Chain", "PlainTSDiff", "guided_forecast"]

Predict = Callable[[Tensor, int], Tensor]


class PlainTSDiff(nn.Module):
    """The network on windows `[B, L, C]`; loads the weights of the package's network of the same sizes."""

    def __init__(self, state: Mapping[str, Tensor], length: int, skip: bool = False) -> None:
        super().__init__()
        self.length, self.skip = length, skip
        self.weights = nn.ParameterDict(
            {
                name.replace(".", "/"): nn.Parameter(value.clone())
                for name, value in state.items()
                if value.is_floating_point()
            }
        )
        self.blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("residual_blocks."))

    def _w(self, name: str) -> Tensor:
        return self.weights[name.replace(".", "/")]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._w(f"{name}.weight"), self._w(f"{name}.bias"))

    def _conv(self, x: Tensor, name: str) -> Tensor:
        return functional.conv1d(x, self._w(f"{name}.weight"), self._w(f"{name}.bias"))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """The output for indices `[B]`."""
        size = self._w("time_init.0.weight").shape[1]
        steps = torch.arange(size // 2, dtype=x.dtype)
        angles = index.to(x.dtype)[:, None] * torch.exp(steps * (-math.log(10000) / (size // 2 - 1)))
        time = torch.cat([angles.sin(), angles.cos()], 1)
        time = functional.silu(self._linear(functional.silu(self._linear(time, "time_init.0")), "time_init.2"))
        hidden = functional.relu(self._linear(x, "input_init.0")).transpose(1, 2)
        skips = []
        for number in range(self.blocks):
            hidden, skip = self._block(hidden, time, f"residual_blocks.{number}")
            skips.append(skip)
        total = torch.stack(skips).sum(0).transpose(1, 2)
        output = self._linear(functional.relu(self._linear(total, "out_linear.0")), "out_linear.2")
        return output + x if self.skip else output

    def _block(self, x: Tensor, time: Tensor, name: str) -> tuple[Tensor, Tensor]:
        h = x + self._linear(time, f"{name}.time_linear")[..., None]
        weight, bias = self._w(f"{name}.s4block.norm.weight"), self._w(f"{name}.s4block.norm.bias")
        normed = functional.layer_norm(h.transpose(1, 2), weight.shape, weight, bias).transpose(1, 2)
        u = h + self._s4(normed, f"{name}.s4block.layer")
        gate = torch.tanh(u) * torch.sigmoid(u)
        last = f"{name}.out_linear1.weight".replace(".", "/") not in self.weights
        rest = x if last else self._conv(gate, f"{name}.out_linear1") + x
        return rest, self._conv(gate, f"{name}.out_linear2")

    def _s4(self, u: Tensor, name: str) -> Tensor:
        ahead, back = self._kernels(f"{name}.kernel.kernel")
        length = self.length
        kernel = functional.pad(ahead, (0, length)) + functional.pad(back.flip(-1), (length, 0))
        spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
        y = torch.fft.irfft(spectrum, n=2 * length)[..., :length] + self._w(f"{name}.D")[0][:, None] * u
        return self._conv(functional.gelu(y), f"{name}.output_linear")

    def _kernels(self, name: str) -> tuple[Tensor, Tensor]:
        """Both kernels `[H, L]` of the diagonal plus low-rank form."""
        C, B, P = (torch.view_as_complex(self._w(f"{name}.{part}")) for part in "CBP")
        w = torch.complex(-self._w(f"{name}.inv_w_real").exp(), self._w(f"{name}.w_imag"))
        dt = self._w(f"{name}.log_dt").exp()
        omega = torch.exp(-2j * math.pi / self.length * torch.arange(self.length // 2 + 1))
        z = 2 * (1 - omega) / (1 + omega)
        numerators = (torch.cat([B, P])[:, None] * torch.cat([P.conj(), C])[None]).flatten(0, 1).transpose(0, 1)
        poles = dt[:, None] * w
        # Both poles of a pair: 2 (z Re v - Re(v conj a)) / (z^2 - 2 z Re a + |a|^2).
        inverse = 1 / (z * z - 2 * z * poles.real[..., None] + poles.abs().square()[..., None])
        first, second = 2 * numerators.real, 2 * (numerators * poles.conj()[:, None]).real
        sums = z * (first.to(inverse.dtype) @ inverse) - second.to(inverse.dtype) @ inverse
        sums = (sums * dt[:, None, None]).transpose(0, 1).unflatten(0, (2, 3))
        found = sums[0, 1:] - sums[0, :1] * sums[1, 1:] / (1 + sums[1, :1])
        kernels = torch.fft.irfft(found * 2 / (1 + omega), n=self.length)
        return kernels[0], kernels[1]


class Chain:
    """The published chain of T steps."""

    def __init__(self, num_steps: int = 100) -> None:
        self.beta = torch.linspace(1e-4, 0.1, num_steps, dtype=torch.float64)
        self.signal = torch.cumprod(1 - self.beta, 0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), self.signal[:-1]])
        self.variance = self.beta * (1 - before) / (1 - self.signal)

    def __len__(self) -> int:
        return len(self.beta)

    def step(self, x: Tensor, noise: Tensor, t: int, z: Tensor) -> Tensor:
        """x_{t-1} of x_t and the predicted noise."""
        beta, signal = float(self.beta[t]), float(self.signal[t])
        mean = (x - beta / math.sqrt(1 - signal) * noise) / math.sqrt(1 - beta)
        return mean + math.sqrt(float(self.variance[t])) * z if t else mean


def guided_forecast(
    predict: Predict,
    chain: Chain,
    known: Tensor,
    given: Tensor,
    levels: Tensor,
    weight: float,
    noise: list[Tensor],
    steps: int | None = None,
) -> Tensor:
    """Paths `[S, L, C]` by quantile self-guidance at the stepped state.

    Args:
        predict: noise prediction of `x` at chain index t.
        chain: of steps.
        known: observed entries, zero elsewhere, `[S, L, C]`.
        given: which these are.
        levels: quantile level of each path, `[S]`.
        weight: of the guidance.
        noise: the start, then that of each step but the last.
        steps: so many of the first steps only.
    """
    draws, x = iter(noise[1:]), noise[0]
    k = levels.to(x)[:, None, None]
    for t in list(reversed(range(len(chain))))[:steps]:
        with torch.no_grad():
            x = chain.step(x, predict(x, t), t, next(draws) if t else x)
        x = x.detach().requires_grad_()
        signal = float(chain.signal[t])
        data = (x - math.sqrt(1 - signal) * predict(x, t)) / math.sqrt(signal)
        error = known - data
        energy = (torch.maximum(k * error, (k - 1) * error) * given).sum()
        (gradient,) = torch.autograd.grad(energy, x)
        x = (x - weight * float(chain.variance[t]) * gradient).detach()
    return x
