"""Random streams of training."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from scorefield.core.draws import SampleStreams


def test_numbers_are_standard_normal_and_uncorrelated():
    draws = SampleStreams(4000, "test", 1).normal(torch.zeros(4000, 5, 5)).flatten(1)
    assert stats.kstest(draws[:, :8].flatten().numpy(), "norm").pvalue > 1e-3
    correlation = torch.corrcoef(draws.T).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / 4000**0.5
    neighbours = torch.corrcoef(draws[:25]).fill_diagonal_(0)
    assert neighbours.abs().max() < 5 / 25**0.5


def test_times_are_uniform():
    assert stats.kstest(SampleStreams(5000, "test").uniform().numpy(), "uniform").pvalue > 1e-3


def test_keys_and_requests_change_everything():
    like = torch.zeros(3, 4)
    first = SampleStreams(3, "train", 0, 1)
    one, two = first.normal(like), first.normal(like)
    other = SampleStreams(3, "train", 0, 2).normal(like)
    assert not torch.isclose(one, two).any()
    assert not torch.isclose(one, other).any()
    assert torch.equal(one, SampleStreams(3, "train", 0, 1).normal(like))


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (5,), (5, 4, 2)])
def test_padding_changes_no_number(shape):
    wide = tuple(size + 4 for size in shape)
    small = SampleStreams(6, "a").normal(torch.zeros(6, *shape))
    large = SampleStreams(6, "a").normal(torch.zeros(6, *wide))
    assert torch.equal(small, large[(slice(None), *(slice(size) for size in shape))])


def test_processes_draw_what_one_process_draws():
    like = torch.zeros(8, 3)
    whole = SampleStreams(8, "a")
    expected = whole.normal(like), whole.uniform(), whole.even(), whole.shared()
    for rank in range(2):
        part = SampleStreams(4, "a", rank=rank, processes=2)
        assert torch.equal(part.normal(like[:4]), expected[0][rank::2])
        assert torch.equal(part.uniform(), expected[1][rank::2])
        assert torch.allclose(part.even(), expected[2][rank::2])
        assert part.shared() == expected[3]


def test_even_times_fill_every_bin_once():
    times = SampleStreams(10, "a").even()
    assert torch.equal((times * 10).floor().sort().values, torch.arange(10.0, dtype=torch.float64))
