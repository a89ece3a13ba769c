"""The stated answers of the one-dimensional problems are those of their densities."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.guidance_problems import EXACT, OBSERVED, OBSERVED_STD, PRIOR, SECOND, exact

DENSITIES = {
    "posterior": lambda x: PRIOR.density(x) * np.exp(-((x - OBSERVED) ** 2) / (2 * OBSERVED_STD**2)),
    "guidance 2": lambda x: SECOND.density(x, 1e-3) ** 2 / np.maximum(PRIOR.density(x, 1e-3), 1e-200),
    "product": lambda x: PRIOR.density(x, 1e-3) * SECOND.density(x, 1e-3),
    "power 0.5": lambda x: PRIOR.density(x) ** 0.5,
    "power 2": lambda x: PRIOR.density(x) ** 2,
    "power 3": lambda x: PRIOR.density(x) ** 3,
}


@pytest.mark.parametrize("name", EXACT)
def test_the_stated_moments(name: str) -> None:
    assert exact(DENSITIES[name]) == pytest.approx(EXACT[name], abs=6e-4)
