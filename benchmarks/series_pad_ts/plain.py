"""PaD-TS written out plainly: attention by its formula, modulation row by row, kernels of all pairs of windows.

This is what a straightforward reading of the paper gives, and what the published code computes; the benchmarks measure
the package against it. Parameter names are the published ones, so that both sides compute the same numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BANDWIDTHS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.7, 1.0)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, number, width = x.shape
        qkv = self.qkv(x).reshape(batch, number, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        weights = ((query * self.scale) @ key.transpose(-2, -1)).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, number, width))


class Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class DecoderBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Perceptron(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.adaLN_modulation(condition).chunk(6, dim=1)
        x = x + gate.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift, scale))
        return x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift2, scale2))


class Encoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.encoder_blocks = nn.ModuleList(EncoderBlock(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.encoder_blocks:
            x = block(x)
        return x


class StepEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
        angles = t[:, None].float() * frequencies[None]
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class Decoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.diffusion_step_emb = StepEmbedding(width)
        self.encoder_blocks = nn.ModuleList(DecoderBlock(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        condition, total = self.diffusion_step_emb(t), 0
        for block in self.encoder_blocks:
            y = block(x, condition)
            total = total + y
            x = y + x
        return total


class Positions(nn.Module):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.pe = nn.Parameter(torch.empty(1, length, width).uniform_(-0.02, 0.02))


class Embedding(nn.Module):
    def __init__(self, inputs: int, width: int, length: int | None, dropout: float) -> None:
        super().__init__()
        self.processing = nn.Sequential(nn.Linear(inputs, width))
        self.pos_emb = Positions(length, width) if length else None
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.processing(x)
        return self.drop(x if self.pos_emb is None else x + self.pos_emb.pe)


class PlainPaDTS(nn.Module):
    """The network at whole diffusion indices t [B]."""

    def __init__(
        self, length: int, features: int, width: int, heads: int = 4, encoders: int = 1, decoders: int = 3,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.time2emb = Embedding(features, width, length, dropout)
        self.feature2emb = Embedding(length, width, None, dropout)
        self.time_encoder, self.feature_encoder = (Encoder(encoders, width, heads) for _ in range(2))
        self.time_blocks, self.feature_blocks = (Decoder(decoders, width, heads) for _ in range(2))
        self.fc_time, self.fc_feature = nn.Linear(width, features), nn.Linear(width, length)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        over_time = self.fc_time(self.time_blocks(self.time_encoder(self.time2emb(x)), t))
        features = self.feature_encoder(self.feature2emb(x.transpose(1, 2)))
        return over_time + self.fc_feature(self.feature_blocks(features, t)).transpose(1, 2)


def correlations(windows: Tensor) -> Tensor:
    """Pearson correlations of every window, [B, P]."""
    centred = windows - windows.mean(1, keepdim=True)
    covariance = centred.transpose(1, 2) @ centred
    scale = covariance.diagonal(dim1=1, dim2=2).sqrt()
    found = covariance / (scale[:, :, None] * scale[:, None])
    rows, columns = torch.tril_indices(windows.shape[2], windows.shape[2], -1)
    return torch.nan_to_num(found[:, rows, columns], 0.0, 0.0, 0.0).clamp(-1, 1)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Sum of Gaussian kernels of all pairs, [B, B, P]."""
    squared = (x[:, None] - y[None]) ** 2
    return sum(torch.exp(-squared / (2 * width)) for width in BANDWIDTHS)


def population_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Mean over pairs of the squared discrepancy of the correlations."""
    x, y = correlations(real), correlations(generated)
    return (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)).mean()
