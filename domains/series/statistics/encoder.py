"""The encoder behind Context-FID: windows to vectors, trained on the real windows by hierarchical contrast.

Yue et al. 2022 (TS2Vec, arXiv 2106.10466): two random overlapping crops of each window are encoded with random time
steps hidden; on their overlap, the same step of the same window must be found among the other steps of the window
(temporal) and among the other windows of the batch (instance), at every scale of repeated max-pooling by 2.
Jeha et al. 2022 (PSA-GAN): the Frechet distance of such vectors. Values depend on the trained encoder: they can be
compared only between populations seen by the same one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import gelu, log_softmax, max_pool1d
from tqdm import trange

from scorefield.core.threads import one_thread

__all__ = ["ContrastiveEncoder", "EncoderTraining", "train_encoder"]

_WIDTH, _OUTPUT, _DEPTH = 64, 320, 10
_FEW_NUMBERS = 100_000


class _Block(nn.Module):
    """GELU, dilated convolution of width 3, twice, beside the input (projected where the width changes)."""

    def __init__(self, inputs: int, outputs: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(outputs, outputs, 3, padding=dilation, dilation=dilation)
        self.projection = nn.Conv1d(inputs, outputs, 1) if project else None

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.projection is None else self.projection(x)
        result: Tensor = beside + self.second(gelu(self.first(gelu(x))))
        return result


class ContrastiveEncoder(nn.Module):
    """Windows `[B, L, D]` to a vector at each step, `[B, L, 320]`.

    Args:
        features: D.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(features, _WIDTH)
        blocks = [_Block(_WIDTH, _WIDTH, 2**depth, False) for depth in range(_DEPTH)]
        self.blocks = nn.Sequential(*blocks, _Block(_WIDTH, _OUTPUT, 2**_DEPTH, True))

    def forward(self, x: Tensor, seen: Tensor | None = None, kept: Tensor | None = None) -> Tensor:
        """Encode; `seen [B, L]` hides steps, `kept [B, L, 320]` is dropout's factor."""
        h = self.inputs(x)
        h = h if seen is None else h * seen[..., None]
        found: Tensor = self.blocks(h.transpose(1, 2)).transpose(1, 2)
        return found if kept is None else found * kept

    @torch.inference_mode()
    def embed(self, windows: npt.NDArray[np.float32], block: int = 512) -> npt.NDArray[np.float64]:
        """One vector a window, (windows, 320): the largest over time."""
        with one_thread():
            parts = [self(torch.from_numpy(windows[k : k + block])).amax(1) for k in range(0, len(windows), block)]
        return torch.cat(parts).double().numpy()

    def content(self) -> bytes:
        """The weights as a safetensors file."""
        return save({name: value.contiguous() for name, value in self.state_dict().items()})

    def fingerprint(self) -> str:
        """The first half of the weights' SHA-256."""
        return hashlib.sha256(self.content()).hexdigest()[:16]


@dataclass(frozen=True)
class EncoderTraining:
    """How an encoder is trained.

    Args:
        iterations: by default 200 for up to 100,000 numbers, else 600, as published.
        batch: windows in an iteration.
        rate: step size of AdamW.
        dropout: share of the output entries dropped.
    """

    iterations: int | None = None
    batch: int = 8
    rate: float = 1e-3
    dropout: float = 0.1


def train_encoder(
    windows: npt.NDArray[np.float32], seed: int, training: EncoderTraining | None = None, *, progress: bool = False
) -> ContrastiveEncoder:
    """The running average of an encoder trained on windows (n, L, D), each standing for itself."""
    settings = EncoderTraining() if training is None else training
    iterations = settings.iterations or (200 if windows.size <= _FEW_NUMBERS else 600)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        encoder, average = ContrastiveEncoder(windows.shape[2]), ContrastiveEncoder(windows.shape[2])
        optimiser = torch.optim.AdamW(encoder.parameters(), lr=settings.rate)
        batch = min(settings.batch, len(windows))
        for step in trange(iterations, desc="context_fid", leave=False, disable=not progress):
            rows = torch.randperm(len(windows), generator=generator)[:batch]
            loss = _contrast(encoder, torch.from_numpy(windows)[rows], settings.dropout, generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            _average(average, encoder, step)
    return average.eval()


@torch.no_grad()
def _average(average: nn.Module, encoder: nn.Module, step: int) -> None:
    for mean, value in zip(average.parameters(), encoder.parameters(), strict=True):
        mean.lerp_(value, 1 / (step + 1))


def _contrast(encoder: ContrastiveEncoder, x: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    """The loss of two overlapping crops."""

    def below(number: int) -> int:
        return int(torch.randint(max(1, number), (1,), generator=generator))

    steps = x.shape[1]
    overlap = min(steps, 2 + below(steps - 1))
    start = below(steps - overlap + 1)
    left, right = below(start + 1), start + overlap + below(steps - start - overlap + 1)

    def encoded(begin: int, end: int) -> Tensor:
        seen = (torch.rand(len(x), end - begin, generator=generator) < 0.5).to(x.dtype)
        kept = (torch.rand(len(x), end - begin, _OUTPUT, generator=generator) >= dropout).to(x.dtype) / (1 - dropout)
        vectors: Tensor = encoder(x[:, begin:end], seen, kept)
        return vectors[:, start - begin : start - begin + overlap]

    return _hierarchical(encoded(left, start + overlap), encoded(start, right))


def _hierarchical(first: Tensor, second: Tensor) -> Tensor:
    """Mean over scales of half the instance and half the temporal contrast; the last scale has one step."""
    total, scales = first.new_zeros(()), 0
    while True:
        total = total + 0.5 * _between(first.transpose(0, 1), second.transpose(0, 1))
        scales += 1
        if first.shape[1] == 1:
            return total / scales
        total = total + 0.5 * _between(first, second)
        first, second = (max_pool1d(part.transpose(1, 2), 2).transpose(1, 2) for part in (first, second))


def _between(first: Tensor, second: Tensor) -> Tensor:
    """Cross-entropy of finding each item's twin among all others of its group; both `[groups, items, width]`."""
    items = first.shape[1]
    if items == 1:
        return first.new_zeros(())
    both = torch.cat([first, second], 1)
    similarity = both @ both.transpose(1, 2)
    itself = torch.eye(2 * items, dtype=torch.bool)
    logs = log_softmax(similarity.masked_fill(itself, -torch.inf), -1)
    twin = (torch.arange(2 * items) + items) % (2 * items)
    return -logs[:, torch.arange(2 * items), twin].mean()
