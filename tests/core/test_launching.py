"""How processes are started, and what the failure of a copy says."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from scorefield.core.errors import InputError
from scorefield.core.launching import choose_start, original_error

MANAGERS = ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "LSB_JOBID", "LOCAL_RANK")


@pytest.fixture
def alone(monkeypatch):
    for name in MANAGERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)


def test_copies_are_made_only_where_they_are_safe(alone, monkeypatch):
    assert choose_start("cpu", nodes=1, threads=1) == "fork"
    assert choose_start("cuda", nodes=1, threads=1) == "popen"
    assert choose_start("cpu", nodes=2, threads=1) == "popen"
    assert choose_start("cpu", nodes=1, threads=2) == "popen"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert choose_start("cpu", nodes=1, threads=1) == "popen"


@pytest.mark.parametrize("name", ["TORCHELASTIC_RUN_ID", "LOCAL_RANK"])
def test_processes_of_a_manager_are_not_copied(alone, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert choose_start("cpu", nodes=1, threads=1) == "popen"


def test_other_systems_start_anew(alone, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert choose_start("cpu", nodes=1, threads=1) == "popen"


ERRORS = {
    "input": (InputError("bad: thing", file="a.npz", mend="mend it"), InputError, "a.npz: bad: thing; mend it"),
    "numbers": (FloatingPointError("NaN in x\nat step 3"), FloatingPointError, "NaN in x\nat step 3"),
    "other": (KeyError("name"), RuntimeError, "KeyError: 'name'"),
    "silent": (MemoryError(), RuntimeError, "MemoryError"),
}


def _raise(process: int, case: str) -> None:
    try:
        raise OSError("before it")
    except OSError as error:
        raise ERRORS[case][0] from error


@pytest.mark.parametrize("case", ERRORS)
def test_the_error_of_a_copy_keeps_its_words(case):
    _, kind, text = ERRORS[case]
    with pytest.raises(ProcessRaisedException) as caught:
        start_processes(_raise, (case,), nprocs=1, start_method="fork")
    found = original_error(caught.value)
    assert type(found) is kind
    assert str(found) == text
