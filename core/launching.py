"""How the processes of one machine are started, and how the failure of one of them reaches the user.

A copy of the running process (`fork`) has all packages and the model at once, where a process started anew
(`popen`) imports for seconds, and only after the first one has. A copy is safe only where it uses neither CUDA nor a
pool of CPU threads, both of which a copied process cannot go on with.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from multiprocessing.process import BaseProcess
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.multiprocessing.spawn import ProcessRaisedException

from scorefield.core.errors import InputError

__all__ = ["Mortal", "choose_start", "end_copies", "original_error"]

Start = Literal["fork", "popen"]

_PATIENCE = 5.0  # seconds
_MANAGERS = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
_KNOWN = {
    f"{InputError.__module__}.{InputError.__qualname__}": InputError,
    FloatingPointError.__name__: FloatingPointError,
    RuntimeError.__name__: RuntimeError,
}


def choose_start(device: str, nodes: int, threads: int) -> Start:
    """How Lightning is to start further processes.

    Args:
        device: `cpu` or `cuda`.
        nodes: machines.
        threads: CPU threads of each process.
    """
    # Elsewhere the system's own libraries do not survive a copy.
    alone = sys.platform == "linux" and nodes == 1 and not _started_by_a_manager()
    plain = device == "cpu" and threads == 1 and not torch.cuda.is_initialized()
    return "fork" if alone and plain else "popen"


def _started_by_a_manager() -> bool:
    return any(manager.detect() for manager in _MANAGERS) or LightningEnvironment().creates_processes_externally


class Mortal(pl.Callback):
    """Lets the copies of a process be ended: Lightning's handler of SIGTERM would wait for the other processes."""

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See `Callback`."""
        if multiprocessing.parent_process() is not None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_copies(trainer: pl.Trainer) -> None:
    """End the copies that a trainer has made, and wait until they are gone."""
    for process in getattr(trainer.strategy.launcher, "procs", ()):
        if isinstance(process, BaseProcess):  # others were started anew; Lightning ends them
            process.terminate()
            process.join(_PATIENCE)
            process.kill()
            process.join()


def original_error(error: ProcessRaisedException) -> Exception:
    """What went wrong in a copy, told by the last lines of its traceback."""
    lines = str(error).rpartition("Traceback (most recent call last):\n")[2].splitlines()
    start = next((number for number, line in enumerate(lines) if not line.startswith(" ")), 0)
    name, _, text = "\n".join(lines[start:]).partition(": ")
    return _KNOWN[name](text) if name in _KNOWN else RuntimeError(f"{name}: {text}" if text else name)
