"""A data module of given windows, for what is prepared from training data."""

from __future__ import annotations

from torch import Tensor

__all__ = ["Windows"]


class Windows:
    """A data module of these windows."""

    def __init__(self, x: Tensor, **others: Tensor) -> None:
        self.x, self.others, self.dataset = x, others, self

    def train_dataloader(self) -> Windows:
        return self

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, rows: list[int]) -> dict[str, Tensor]:
        return {"x": self.x[rows], **{name: value[rows] for name, value in self.others.items()}}
