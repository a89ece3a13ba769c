"""Shared fixtures: where reference tensors and benchmark data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference tensors and data, from the variable `SCOREFIELD_SHARED`."""
    value = os.environ.get("SCOREFIELD_SHARED")
    if not value:
        pytest.skip("SCOREFIELD_SHARED is not set: reference tensors and benchmark data are not at hand")
    return Path(value)
