"""The recurrent network of the discriminative and the predictive score, several repeats trained side by side.

The cell is the gated recurrent unit of TensorFlow's first interface (Cho et al. 2014),

    [r, u] = sigmoid([x, h] W_g + b_g),   c = tanh([x, r h] W_c + b_c),   h' = u h + (1 - u) c,

where the reset gate acts on h before the product, unlike `torch.nn.GRU`. Kernels start Glorot-uniform, b_g at 1, all
other biases at 0. Weights carry a leading axis of repeats: those never mix, so that training the stack with the sum
of the losses (Adam is elementwise) is training each alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Adam", "StackedGRU", "side_by_side"]

_Size = TypeVar("_Size", bound=Hashable)
_Result = TypeVar("_Result")


def _glorot(repeats: int, rows: int, columns: int, generators: list[np.random.Generator]) -> nn.Parameter:
    bound = math.sqrt(6 / (rows + columns))
    drawn = [generators[repeat].uniform(-bound, bound, (rows, columns)) for repeat in range(repeats)]
    return nn.Parameter(torch.from_numpy(np.stack(drawn)).float())


class StackedGRU(nn.Module):
    """Recurrent layers and a dense one on top, `repeats` times with weights of their own.

    Args:
        inputs: features of the input.
        hidden: width of each layer.
        outputs: width of the dense layer.
        generators: one a repeat, for the initial weights.
        layers: recurrent layers.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, generators: list[np.random.Generator], layers: int = 1
    ) -> None:
        super().__init__()
        repeats = len(generators)
        self.hidden = hidden
        widths = [inputs, *[hidden] * (layers - 1)]
        gates = [_glorot(repeats, width + hidden, 2 * hidden, generators) for width in widths]
        candidates = [_glorot(repeats, width + hidden, hidden, generators) for width in widths]
        self.gate_kernels, self.candidate_kernels = nn.ParameterList(gates), nn.ParameterList(candidates)
        self.gate_biases = nn.ParameterList(torch.ones(repeats, 1, 2 * hidden) for _ in widths)
        self.candidate_biases = nn.ParameterList(torch.zeros(repeats, 1, hidden) for _ in widths)
        self.dense_kernel = _glorot(repeats, hidden, outputs, generators)
        self.dense_bias = nn.Parameter(torch.zeros(repeats, 1, outputs))

    def states(self, x: Tensor) -> list[Tensor]:
        """The hidden states of the last layer, L times `[R, B, hidden]`, from x `[R, L, B, inputs]`."""
        repeats, steps, batch, _ = x.shape
        found: list[Tensor] = []
        for layer in range(len(self.gate_kernels)):
            inputs = x.shape[-1]
            gate, candidate = self.gate_kernels[layer], self.candidate_kernels[layer]
            flat = x.reshape(repeats, steps * batch, inputs)
            of_gate = torch.baddbmm(self.gate_biases[layer], flat, gate[:, :inputs])
            of_candidate = torch.baddbmm(self.candidate_biases[layer], flat, candidate[:, :inputs])
            gates = of_gate.unflatten(1, (steps, batch)).unbind(1)
            candidates = of_candidate.unflatten(1, (steps, batch)).unbind(1)
            h = x.new_zeros(repeats, batch, self.hidden)
            found = []
            for step in range(steps):
                both = torch.baddbmm(gates[step], h, gate[:, inputs:]).sigmoid()
                reset, update = both[..., : self.hidden], both[..., self.hidden :]
                c = torch.baddbmm(candidates[step], reset * h, candidate[:, inputs:]).tanh()
                h = torch.lerp(c, h, update)
                found.append(h)
            x = torch.stack(found, 1) if layer + 1 < len(self.gate_kernels) else x
        return found

    def last(self, x: Tensor) -> Tensor:
        """Logits `[R, B, outputs]` from the last state; x is `[R, B, L, inputs]`."""
        logits: Tensor = torch.baddbmm(self.dense_bias, self.states(x.transpose(1, 2))[-1], self.dense_kernel)
        return logits

    def every(self, x: Tensor) -> Tensor:
        """Logits `[R, B, L, outputs]` of all steps; x is `[R, B, L, inputs]`."""
        states = torch.stack(self.states(x.transpose(1, 2)), 2)
        logits = torch.baddbmm(self.dense_bias, states.flatten(1, 2), self.dense_kernel)
        unfolded: Tensor = logits.unflatten(1, (states.shape[1], states.shape[2]))
        return unfolded


class Adam:
    """Adam as TensorFlow steps: epsilon is added before the second moment's bias is corrected.

    Args:
        network: what is trained.
        rate: step size.
    """

    def __init__(self, network: nn.Module, rate: float = 1e-3) -> None:
        self.parameters: list[Tensor] = list(network.parameters())
        self.rate, self.steps = rate, 0
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self.parameters)
        self.steps += 1
        torch._foreach_lerp_(self.first, gradients, 0.1)
        torch._foreach_mul_(self.second, 0.999)
        torch._foreach_addcmul_(self.second, gradients, gradients, 0.001)
        roots = torch._foreach_sqrt(self.second)
        torch._foreach_add_(roots, 1e-8)
        rate = self.rate * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        torch._foreach_addcdiv_(self.parameters, self.first, roots, -rate)


def side_by_side(sizes: Sequence[_Size], train: Callable[[list[int], _Size], list[_Result]]) -> list[_Result]:
    """The result of each task; only tasks with batches of one size can be trained together.

    Args:
        sizes: of the batches of each task.
        train: results of tasks, from their places and their size.
    """
    found: dict[int, _Result] = {}
    for size in dict.fromkeys(sizes):
        chosen = [place for place, other in enumerate(sizes) if other == size]
        found.update(zip(chosen, train(chosen, size), strict=True))
    return [found[place] for place in range(len(sizes))]
