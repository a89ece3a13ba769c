"""Graph convolution with self-loops on weighted, possibly negative adjacency matrices.

    convolve(A, x) = D^-1/2 A' D^-1/2 x W + b,   A' = A with diagonal 1,   d = max(row sum of A', 1).

A noisy adjacency matrix has negative entries; the clamp keeps the degrees positive.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GraphConvolution", "glorot", "inverse_root_degree"]


def inverse_root_degree(matrices: Tensor) -> Tensor:
    """max(row sum, 1)^-1/2, (..., nodes, nodes) -> (..., nodes, 1)."""
    return matrices.sum(-1, keepdim=True).clamp(min=1).rsqrt()


class GraphConvolution(nn.Module):
    """The weight (in, out) and bias (out,) of one convolution; the propagation is the caller's."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(glorot(width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, messages: Tensor) -> Tensor:
        """Project propagated features, (..., in) -> (..., out)."""
        return functional.linear(messages, self.weight.T, self.bias)


def glorot(width_in: int, width_out: int) -> Tensor:
    """A fresh weight (in, out), uniform within sqrt(6 / (in + out))."""
    bound = math.sqrt(6 / (width_in + width_out))
    return torch.empty(width_in, width_out).uniform_(-bound, bound)
