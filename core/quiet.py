"""One place that keeps Lightning's chatter from the user."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_predicting", "quiet_training"]

_ASIDE = (
    "Tip:",
    "GPU available",
    "TPU available",
    "HPU available",
    "to estimate number of stepping batches",
    "`Trainer.fit` stopped",
)
_CHATTERERS = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")
_WARNINGS = (
    "Checkpoint directory .* exists and is not empty",
    ".*this fit will run with no optimizer",  # of what counts
    r".isinstance\(treespec, LeafSpec\). is deprecated",
)


@contextmanager
def quiet_training() -> Iterator[None]:
    """Leave out asides, such as advertisements; what the data and the epochs have to say stays."""

    def wanted(record: logging.LogRecord) -> bool:
        return not any(part in record.getMessage() for part in _ASIDE)

    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with warnings.catch_warnings():
        for pattern in _WARNINGS:
            warnings.filterwarnings("ignore", pattern)
        logger.addFilter(wanted)
        try:
            yield
        finally:
            logger.removeFilter(wanted)


@contextmanager
def quiet_predicting() -> Iterator[None]:
    """Leave out all notes, such as those on hardware and data loading."""
    loggers = [logging.getLogger(name) for name in _CHATTERERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
