"""Shared fixtures: where reference tensors and data lie, and the program in a process of its own."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection can be made; the test runs in a folder of its own."""

    def closed(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.socket.connect", closed)
    monkeypatch.chdir(tmp_path)


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


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `PYTHONPATH` in which `tests/toy.py` is an installed package with a domain."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copy(ROOT / "tests" / "toy.py", folder)
    facts = folder / "toy_domain-0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-domain\nVersion: 0\n")
    (facts / "entry_points.txt").write_text("[scorefield.domains]\ntoy = toy:ToyDomain\n")
    return folder


@pytest.fixture
def toy(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The toy domain's module, installed for the time of a test."""
    monkeypatch.syspath_prepend(toy_package)
    return importlib.import_module("toy")


@pytest.fixture
def toy_run(toy: ModuleType, tmp_path: Path) -> Path:
    """A run of the toy domain."""
    folder: Path = toy.make_run(tmp_path / "run")
    return folder
