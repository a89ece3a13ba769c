"""Shared fixtures: where reference tensors and data lie, and the program in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# One thread a process: tests run side by side, and sums are taken in the same order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference tensors and data, from the variable `SCOREFIELD_SHARED`."""
    value = os.environ.get("SCOREFIELD_SHARED")
    if not value:
        pytest.skip("SCOREFIELD_SHARED is not set: reference tensors and benchmark data are not at hand")
    return Path(value)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m scorefield ARGUMENTS` in a process of its own, installed or not; `cwd=` says where."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return python("-m", "scorefield", *map(str, arguments), **options)

    return run


@pytest.fixture(scope="session", name="python")
def python_fixture() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGUMENTS` in a process of its own that sees the package."""
    return python


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the interpreter that runs the tests; warnings are errors there only if the options say so."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "_ns")}
    settings = {"capture_output": True, "text": True, "timeout": 300, "check": False, "env": environment}
    return subprocess.run([sys.executable, *arguments], **{**settings, **options})
