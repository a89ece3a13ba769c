"""The network of the classification and the prediction score, and both scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scorefield.domains.geometry.statistics.surrogate import Surrogate
from scorefield.domains.geometry.statistics.surrogate_scores import (
    Motions,
    SurrogateTraining,
    classification_score,
    prediction_score,
)

QUICK = SurrogateTraining(epochs=15, batch=32)


@pytest.fixture(params=[("classifier", 20, 1), ("predictor", 10, 10)], ids=["classifier", "predictor"])
def stored(request, shared_dir):
    name, frames, steps = request.param
    tensors = load_file(shared_dir / "fixtures/geometry_geotdm/surrogate_eqmotion.safetensors")
    own = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
    network = Surrogate(frames, steps)
    weights = {key[2:]: value for key, value in own.items() if key.startswith("w.")}
    found = network.load_state_dict(weights, strict=False)
    assert not found.missing_keys
    assert {key.split(".")[1] for key in found.unexpected_keys} == {"coord_mlp", "node_att_mlp"}  # unused there
    return network, own


def test_stored_outputs(stored):
    network, tensors = stored
    x, h = network(tensors["nodes"], tensors["loc"])
    torch.testing.assert_close(x, tensors["loc_pred"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(h, tensors["h_pred"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.logits(tensors["nodes"], tensors["loc"]), tensors["logit"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_equivariant(layers):
    generator = torch.Generator().manual_seed(0)
    network = Surrogate(6, 4, layers=layers).double()
    x, v, nodes = (
        torch.randn(*shape, generator=generator).double() for shape in ((2, 5, 6, 3), (2, 5, 6, 3), (2, 5, 6))
    )
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator).double())[0]
    out, h = network(nodes, x, v)
    turned, same = network(nodes, x @ turn + 3, v @ turn)
    torch.testing.assert_close(turned, out @ turn + 3)
    torch.testing.assert_close(same, h)
    torch.testing.assert_close(network.logits(nodes, x), network(nodes, x)[1].mean((1, 2)))
    order = torch.randperm(5, generator=generator)
    torch.testing.assert_close(network(nodes[:, order], x[:, order], v[:, order])[0], out[:, order])


def motions(number: int, sizes: tuple[int, ...] = (4,)) -> Motions:
    """Straight lines, the first half smooth and the second half with noise on every frame."""
    rng = np.random.default_rng(0)
    times = np.linspace(0, 1, 8)[:, None]
    x = rng.normal(size=(number, 4, 1, 3)) + times * rng.normal(size=(number, 4, 1, 3))
    x[number // 2 :] += 0.2 * rng.normal(size=x[number // 2 :].shape)
    chosen = np.array(sizes)[np.arange(number) % len(sizes)]
    x[np.arange(4) >= chosen[:, None]] = 0
    return Motions(torch.zeros(number, 4, 8), torch.from_numpy(x).float(), chosen)


def rows(first: int, last: int) -> np.ndarray:
    return np.arange(first, last)


@pytest.mark.parametrize("sizes", [(4,), (2, 4)])
def test_noise_is_told_from_lines(sizes):
    pool = motions(240, sizes)
    told = classification_score(pool, rows(0, 120), rows(120, 240), np.random.default_rng(0), QUICK)
    same = classification_score(pool, rows(0, 60), rows(60, 120), np.random.default_rng(0), QUICK)
    assert told.score < 0.4
    assert told.accuracy > 0.85
    assert same.score > 0.6


def test_lines_are_predicted_better_by_what_saw_lines():
    pool = motions(240)
    right, wrong = (
        prediction_score(pool, train, rows(0, 60), np.random.default_rng(0), QUICK)
        for train in (rows(60, 120), rows(120, 180))
    )
    assert right < wrong


def test_seeds_decide_and_the_global_state_does_not():
    pool, short = motions(60), SurrogateTraining(epochs=2)
    before = torch.get_rng_state()
    first, same, other = (
        classification_score(pool, rows(0, 30), rows(30, 60), np.random.default_rng(seed), short).score
        for seed in (1, 1, 2)
    )
    assert first == same != other
    assert torch.equal(torch.get_rng_state(), before)


def test_unequal_sets_are_cut():
    """Of twelve and 40 trajectories twelve each take part: 4 of these 24 in the test part, a fifth rounded up."""
    pool = motions(60)
    found = classification_score(pool, rows(0, 12), rows(20, 60), np.random.default_rng(0), SurrogateTraining(epochs=1))
    assert found.accuracy * 5 == pytest.approx(round(found.accuracy * 5))
