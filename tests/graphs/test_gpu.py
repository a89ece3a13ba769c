"""GDSS on a GPU: the same numbers as on the CPU, training and sampling in float32 and bf16, speed and memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.graphs.gdss import GDSS
from tests.on_gpu import DEVICE, GPU, agree_in_a_chain, full_single_precision

pytestmark = GPU

SIZES = {"features": 4, "max_nodes": 9}


def _frame(batch: int = 64) -> State:
    mask = torch.arange(9) < torch.randint(5, 10, (batch, 1), generator=torch.Generator().manual_seed(0))
    return State({"x": torch.zeros(batch, 9, 4), "adj": torch.zeros(batch, 9, 9)}, {"mask": mask})


def _system() -> System:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GDSS().build(SIZES).eval()


def test_one_evaluation_and_ten_steps_agree_with_the_cpu() -> None:
    with full_single_precision():
        agree_in_a_chain(_system(), _frame(), make_solver("pc", 10, snr=0.4, scale=0.7, end=1e-4))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_qm9_config_trains_and_samples(tmp_path: Path, precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    import scorefield as sf

    generator = torch.Generator().manual_seed(0)
    frame = _frame(2048)
    mask = frame.masks["mask"]
    atoms = torch.randint(0, 4, mask.shape, generator=generator)
    x = torch.nn.functional.one_hot(atoms, 4) * mask[..., None]
    upper = torch.randint(0, 2, (2048, 9, 9), generator=generator).triu(1)
    adj = (upper + upper.transpose(1, 2)) * mask[:, :, None] * mask[:, None, :]
    states = {"x": x.byte().numpy(), "adj": adj.byte().numpy(), "mask": mask.numpy()}
    overrides = {"trainer.max_epochs": 1, "trainer.accelerator": "gpu", "trainer.precision": precision}
    run = sf.fit("graphs/qm9_gdss", states, out=tmp_path / "run", **overrides)
    model = sf.load(run)
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    state = model.sample(2048, decode=False, device=DEVICE, precision=precision, chunk_size=2048, tile_size=2048)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    assert bool(torch.isfinite(state["adj"]).all())
    with capsys.disabled():
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(f"\n{precision}: {2048 / seconds:.0f} molecules a second, {peak:.0f} MiB")
