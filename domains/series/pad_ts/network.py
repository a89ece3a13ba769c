"""The network of PaD-TS: two channels of attention, one over time steps and one over features.

For a window x [B, L, D] at diffusion index i (a whole number, never rescaled)

    output = head_t(Decoder_t(Encoder_t(embed_t(x)), i)) + head_f(Decoder_f(Encoder_f(embed_f(x^T)), i))^T.

A decoder of blocks y_k = Block_k(u_{k-1}, c) goes on with u_k = y_k + u_{k-1} and returns the sum of all y_k. Its
blocks shift, scale and gate by the embedding c of the index; layer norms carry no weights of their own. Parameters
have the names of the published code, so that its weights load as they are. With classes, c is the sum of the
embeddings of index and class; one more class, the null token, stands for a class that is not known (Ho and Salimans
2022, arXiv 2207.12598), and takes the place of some in training.

Source: Li et al. 2025 (arXiv 2501.00910).
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.core.system import Network

__all__ = ["Gelu", "PaDTSNetwork"]

Gelu = Literal["tanh", "exact"]

_EPS = 1e-6
_FREQUENCIES = 128


class _Attention(nn.Module):
    """Full attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, number, width = tokens.shape
        parts = self.qkv(tokens).chunk(3, -1)
        query, key, value = (p.reshape(batch, number, self.heads, -1).transpose(1, 2) for p in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(batch, number, width)))


class _Perceptron(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, hidden: int, gelu: Gelu) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.approximate = "none" if gelu == "exact" else gelu

    def forward(self, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(functional.gelu(self.fc1(tokens), approximate=self.approximate)))


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm, then (1 + scale) and shift; those of all rows, `[H]`, are the norm's own weights."""
    if scale.ndim == 1:
        return functional.layer_norm(tokens, tokens.shape[-1:], 1 + scale, shift, _EPS)
    return torch.addcmul(shift, functional.layer_norm(tokens, tokens.shape[-1:], eps=_EPS), 1 + scale)


class _EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float, gelu: Gelu) -> None:
        super().__init__()
        self.attn = _Attention(width, heads)
        self.mlp = _Perceptron(width, int(width * ratio), gelu)

    def forward(self, tokens: Tensor) -> Tensor:
        width = tokens.shape[-1:]
        tokens = tokens + self.attn(functional.layer_norm(tokens, width, eps=_EPS))
        return cast(Tensor, tokens + self.mlp(functional.layer_norm(tokens, width, eps=_EPS)))


class _DecoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, gelu: Gelu) -> None:
        super().__init__()
        self.attn = _Attention(width, heads)
        self.mlp = _Perceptron(width, 4 * width, gelu)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Tokens `[B, N, H]` under the condition `[B, H]`, or `[1, H]` for all rows."""
        parts = self.adaLN_modulation(condition)
        parts = parts[0] if len(parts) == 1 else parts[:, None]
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts.chunk(6, -1)
        tokens = torch.addcmul(tokens, gate, self.attn(_modulated(tokens, scale, shift)))
        return torch.addcmul(tokens, mlp_gate, self.mlp(_modulated(tokens, mlp_scale, mlp_shift)))


class _Encoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, ratio: float, gelu: Gelu) -> None:
        super().__init__()
        self.encoder_blocks = nn.ModuleList(_EncoderBlock(width, heads, ratio, gelu) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.encoder_blocks:
            tokens = block(tokens)
        return tokens


def sinusoids(index: Tensor) -> Tensor:
    """cos(i f_k), then sin(i f_k), with f_k = 10000^(-k / 128): `[B, 256]` from indices `[B]`."""
    steps = torch.arange(_FREQUENCIES, device=index.device, dtype=torch.float32)
    angles = index.float()[:, None] * torch.exp(steps * (-math.log(10000) / _FREQUENCIES))
    return torch.cat([angles.cos(), angles.sin()], 1)


class _IndexEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, index: Tensor) -> Tensor:
        return cast(Tensor, self.mlp(sinusoids(index).to(next(self.mlp.parameters()).dtype)))


class _Decoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, gelu: Gelu, classes: int = 0) -> None:
        super().__init__()
        self.diffusion_step_emb = _IndexEmbedding(width)
        self.label_emb = None
        if classes:
            self.label_emb = nn.Embedding(classes + 1, width)
            nn.init.normal_(self.label_emb.weight, std=0.02)
        self.encoder_blocks = nn.ModuleList(_DecoderBlock(width, heads, gelu) for _ in range(layers))

    def forward(self, tokens: Tensor, index: Tensor, label: Tensor | None = None) -> Tensor:
        condition = self.diffusion_step_emb(index)
        if self.label_emb is not None:
            condition = condition + self.label_emb(label)
        total: Tensor | None = None
        for number, block in enumerate(self.encoder_blocks, start=1):
            output = block(tokens, condition)
            total = output if total is None else total + output
            if number < len(self.encoder_blocks):
                tokens = output + tokens
        return tokens if total is None else total


class _Positions(nn.Module):
    """A learnt vector for each place."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.pe = nn.Parameter(torch.empty(1, length, width).uniform_(-0.02, 0.02))


class _Embedding(nn.Module):
    """A linear layer, and where `length` is given the positions of that many tokens."""

    def __init__(self, inputs: int, width: int, length: int | None = None) -> None:
        super().__init__()
        self.processing = nn.Sequential(nn.Linear(inputs, width))
        self.pos_emb = None if length is None else _Positions(length, width)

    def forward(self, values: Tensor) -> Tensor:
        tokens: Tensor = self.processing(values)
        return tokens if self.pos_emb is None else tokens + self.pos_emb.pe


class PaDTSNetwork(Network):
    """The data prediction of component `x`; kept in the data's range [-1, 1] in evaluation mode.

    Args:
        length: steps of a window, L.
        features: features, D.
        num_steps: steps of the diffusion chain, T.
        width: hidden width, H.
        heads: attention heads; they divide the width.
        encoder_layers: blocks of each encoder.
        decoder_layers: blocks of each decoder.
        mlp_ratio: hidden width of the encoders' perceptrons over H; the decoders' is 4.
        dropout: share of the embedded inputs that training leaves out.
        classes: classes of the windows, to which `label` of a state's condition says which, int64 `[B]`; the number
            after the last is the null token. 0 for none, and a network without such parameters.
        label_dropout: share of the labels that the null token takes the place of in training.
        outputs: predictions that `estimate` makes beside each other.
        gelu: form of the perceptrons' activation, `tanh` as published, or `exact`, which a CPU computes in a third of
            the time; they differ by less than 5e-4.
        discrete: whether it sees the index round(t T) - 1 of the chain, or t T itself.
        bounds: lowest and highest output in evaluation mode.

    Attributes:
        null_condition: the null token, for classifier-free guidance; empty without classes.
    """

    def __init__(
        self,
        length: int,
        features: int,
        num_steps: int,
        width: int = 128,
        heads: int = 4,
        encoder_layers: int = 1,
        decoder_layers: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        classes: int = 0,
        label_dropout: float = 0.1,
        outputs: int = 1,
        gelu: Gelu = "tanh",
        discrete: bool = True,
        bounds: tuple[float, float] | None = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.discrete, self.bounds = discrete, bounds
        self.length, self.features, self.num_steps, self.dropout = length, features, num_steps, dropout
        self.width, self.classes, self.label_dropout = width, classes, label_dropout
        self.null_condition = {"label": classes} if classes else {}
        self.time2emb = _Embedding(features, width, length)
        self.feature2emb = _Embedding(length, width)
        self.time_encoder = _Encoder(encoder_layers, width, heads, mlp_ratio, gelu)
        self.feature_encoder = _Encoder(encoder_layers, width, heads, mlp_ratio, gelu)
        self.time_blocks = _Decoder(decoder_layers, width, heads, gelu, classes)
        self.feature_blocks = _Decoder(decoder_layers, width, heads, gelu, classes)
        self.fc_time = nn.Linear(width, outputs * features)
        self.fc_feature = nn.Linear(width, outputs * length)

    def draws(self, state: State, streams: SampleStreams) -> dict[str, Tensor]:
        """See `Network.draws`: which embedded inputs to keep, `keep_time [B, L, H]` and `keep_feature [B, D, H]`.

        With classes also `label [B]`, the given ones with some of them left out.
        """
        if not self.training:
            return {}
        x, drawn = state["x"], {}
        if self.dropout:
            for name, tokens in (("keep_time", self.length), ("keep_feature", self.features)):
                like = x.new_empty(()).expand(len(x), tokens, self.width)
                drawn[name] = streams.keep(like, 1 - self.dropout)
        if self.classes:
            drawn["label"] = torch.where(streams.uniform() < self.label_dropout, self.classes, state.condition["label"])
        return drawn

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """See `Network.forward`; `t` expanded from one time costs less than as many different ones.

        Raises:
            InputError: windows of another length or number of features.
            KeyError: a network with classes, and no label.
        """
        index = single(t) * self.num_steps
        output = self.predictions(state, index.round() - 1 if self.discrete else index)
        return {"x": output if self.training or self.bounds is None else output.clamp(*self.bounds)}

    def predictions(self, state: State, index: Tensor) -> Tensor:
        """What `estimate` gives for a state and its condition; raises as `forward`."""
        x = state["x"]
        if x.shape[1:] != (self.length, self.features):
            what = f"windows of {x.shape[1]} steps and {x.shape[2]} features"
            raise InputError(what, mend=f"this network takes {self.length} steps and {self.features} features")
        time, feature = (state.condition.get(name) if self.training else None for name in ("keep_time", "keep_feature"))
        return self.estimate(x, index, time, feature, state.condition["label"] if self.classes else None)

    def estimate(
        self,
        x: Tensor,
        index: Tensor,
        keep_time: Tensor | None = None,
        keep_feature: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """The clean window `[B, L, D]` from the noised one `x` at chain indices `[B]`, or `[1]` for all.

        Several outputs lie side by side, `[B, L, outputs D]`.
        """
        steps = self._dropped(self.time2emb(x), keep_time)
        features = self._dropped(self.feature2emb(x.transpose(1, 2)), keep_feature)
        over_time = self.fc_time(self.time_blocks(self.time_encoder(steps), index, label))
        over_features = self.fc_feature(self.feature_blocks(self.feature_encoder(features), index, label))
        return cast(Tensor, over_time + over_features.unflatten(2, (-1, self.length)).permute(0, 3, 2, 1).flatten(2))

    def _dropped(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        return tokens if keep is None else tokens * (keep.to(tokens.dtype) * (1 / (1 - self.dropout)))


def single(t: Tensor) -> Tensor:
    """Numbers `[B]` that were expanded from one, as `[1]`."""
    return t[:1] if len(t) == 1 or t.stride(0) == 0 else t
