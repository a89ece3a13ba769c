"""What a training says of its model before it begins."""

from __future__ import annotations

import warnings

import pytest

from scorefield.core.module import ScoreModule
from scorefield.core.training_files import _sampling, _warn_of_priors
from tests.core.tiny_recipe import Tiny

SIZES = {"features": 3, "max_nodes": 6}


@pytest.mark.filterwarnings("default")
def test_a_prior_that_the_path_does_not_reach_is_said_once():
    with pytest.warns(UserWarning, match=r"\(x 0\.76\) that the prior N\(0, 1\) lacks") as caught:
        _warn_of_priors(Tiny(beta_max=1.0).build(SIZES))  # its other component is variance exploding
    assert len(caught) == 1


def test_a_prior_that_fits_is_not_mentioned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _warn_of_priors(Tiny(beta_max=20.0).build(SIZES))


def test_a_recipe_without_a_sampler_gets_none():
    assert _sampling(ScoreModule(Tiny())) == {"weights": "raw"}  # there is no average before the training
