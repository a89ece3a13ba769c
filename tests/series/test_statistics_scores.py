"""Scores of series against stored values, and what must hold of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from scorefield.core.cosine_kernel import SCORING_BANDWIDTHS, TRAINING_BANDWIDTHS
from scorefield.core.population import brute_force_mmd
from scorefield.core.statistics.distances import distance_between, memberships
from scorefield.core.statistics.frechet import Frechet
from scorefield.core.statistics.spectral import DrawnMMD, SpectralMMD
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.series.sources import sines
from scorefield.domains.series.statistics import compare_series
from scorefield.domains.series.statistics.discriminative import Discriminator
from scorefield.domains.series.statistics.encoder import EncoderTraining, train_encoder
from scorefield.domains.series.statistics.moments import MeanCorrelations, correlational_by_draws, window_moments
from scorefield.domains.series.statistics.neighbours import (
    NeighbourAccuracy,
    NeighbourRatio,
    memorisation,
    nearest_distances,
    warping_distances,
)
from scorefield.domains.series.statistics.population import ScoredWindows
from scorefield.domains.series.statistics.predictive import Predictor
from scorefield.domains.series.statistics.recurrent import Adam, StackedGRU

rng = np.random.default_rng(0)
QUICK = Resampling(permutations=19, bootstrap=20, floors=2)


def fixture(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / "fixtures/series_pad_ts" / f"{name}.npz") as stored:
        return dict(stored)


@pytest.fixture
def stored(shared_dir):
    return fixture(shared_dir, "metrics_s")


def test_stored_fdds(stored):
    real, fake = (ScoredWindows(stored[name].astype(np.float32)).correlations for name in ("real", "fake"))
    np.testing.assert_allclose(real, stored["cc_real"], atol=1e-6)
    np.testing.assert_allclose(fake, stored["cc_fake"], atol=1e-6)
    columns = SpectralMMD().columns(np.concatenate([real, fake]), *memberships(96, 96))[:, 0]
    np.testing.assert_allclose(columns, stored["fdds_per_pair"], atol=1e-5)
    assert distance_between(SpectralMMD(), real, fake) == pytest.approx(float(stored["fdds"]), abs=1e-5)
    columns = SpectralMMD(TRAINING_BANDWIDTHS).columns(np.concatenate([real, fake]), *memberships(96, 96))[:, 0]
    np.testing.assert_allclose(columns, stored["bmmd7_per_pair"], atol=1e-5)


def test_stored_inverse_multiquadric(stored):
    pair = [torch.from_numpy(stored[name][:, :1]) for name in ("cc_real", "cc_fake")]
    found = brute_force_mmd(*pair, (0.01, 0.05, 0.1, 0.2, 0.5), inverse_multiquadric=True)
    assert float(found) == pytest.approx(float(stored["mmd_multiscale_pair0"]), abs=1e-5)


def test_stored_vds(stored):
    flat = [stored[name].astype(np.float32).transpose(2, 0, 1).reshape(5, -1) for name in ("real", "fake")]
    found = DrawnMMD().at(*flat, stored["vds_idx"])
    np.testing.assert_allclose(found, stored["vds_per_feature"], atol=1e-5)
    assert found.mean() == pytest.approx(float(stored["vds"]), abs=1e-5)


def test_stored_correlational_score(stored):
    real, fake = (window_moments(stored[name].astype(np.float32)) for name in ("real", "fake"))
    found = distance_between(MeanCorrelations(5, 24), real, fake)
    assert found == pytest.approx(float(stored["correlational_score"]), abs=1e-5)
    pooled, generator = np.concatenate([real, fake]), np.random.default_rng(0)
    few, many = (correlational_by_draws(pooled, 96, MeanCorrelations(5, 24), generator, n, 5) for n in (4, 400))
    assert len(set(few)) == 5
    assert few.mean() > many.mean() > 0


def test_stored_frechet(shared_dir):
    stored = fixture(shared_dir, "frechet_s")
    found = distance_between(Frechet(), stored["emb_real"], stored["emb_fake"])
    assert found == pytest.approx(float(stored["frechet"]), rel=1e-7)


@pytest.mark.parametrize(
    ("kind", "scope", "cell"), [("disc", "discriminator", "d_cell"), ("pred", "predictor", "p_cell")]
)
def test_stored_recurrent_network(shared_dir, kind, scope, cell):
    stored = {name: torch.from_numpy(value)[None] for name, value in fixture(shared_dir, f"tfgru_{kind}_s").items()}
    network = StackedGRU(stored["x"].shape[-1], 3, 1, [np.random.default_rng(0)])
    parts = {
        f"{scope}.rnn.{cell}.gates.kernel": network.gate_kernels[0],
        f"{scope}.rnn.{cell}.gates.bias": network.gate_biases[0],
        f"{scope}.rnn.{cell}.candidate.kernel": network.candidate_kernels[0],
        f"{scope}.rnn.{cell}.candidate.bias": network.candidate_biases[0],
        f"{scope}.dense.kernel": network.dense_kernel,
        f"{scope}.dense.bias": network.dense_bias,
    }
    with torch.no_grad():
        for name, value in parts.items():
            value.copy_(stored[f"init.{name}"].reshape(value.shape))

    def run():
        if kind == "disc":
            logits = network.last(stored["x"])
            return logits, binary_cross_entropy_with_logits(logits, stored["label"])
        logits = network.every(stored["x"])
        return logits, (logits.sigmoid() - stored["label"]).abs().mean()

    optimiser = Adam(network)
    logits, loss = run()
    torch.testing.assert_close(logits, stored["logit"], atol=1e-6, rtol=0)
    assert float(loss.detach()) == pytest.approx(float(stored["loss"]), abs=1e-6)
    for _ in range(3):
        optimiser.step(run()[1])
    for name, value in parts.items():
        torch.testing.assert_close(value, stored[f"adam3.{name}"].reshape(value.shape), atol=1e-5, rtol=0)
    assert float(run()[1].detach()) == pytest.approx(float(stored["loss_after3"]), abs=1e-6)


def generators(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def test_repeats_side_by_side_are_repeats_alone():
    x = torch.from_numpy(rng.random((60, 8, 4)))
    tasks = [
        (np.arange(30), np.arange(30, 60)),
        (np.arange(0, 60, 2), np.arange(1, 60, 2)),
        (np.arange(9), np.arange(9, 60)),
    ]
    score = Discriminator(steps=4, batch=16)
    together = score(x.float(), tasks, generators(1, 2, 3))
    for place, task in enumerate(tasks):
        (alone,) = score(x.float(), [task], generators(place + 1))
        assert alone == together[place]
    predict = Predictor(steps=4, batch=16)
    together = predict(x.float(), tasks, generators(1, 2, 3))
    alone = [predict(x.float(), [task], generators(place + 1))[0] for place, task in enumerate(tasks)]
    assert together == pytest.approx(alone, abs=1e-6)


def test_a_discriminator_sees_what_differs():
    real = rng.random((120, 6, 2)).astype(np.float32)
    pool = torch.from_numpy(np.concatenate([real, real * 0.3]))
    (found,) = Discriminator(8, steps=150)(pool, [(np.arange(120), np.arange(120, 240))], generators(0))
    assert found.score > 0.3
    assert found.area > 0.9
    assert found.score == pytest.approx(abs((found.real_accuracy + found.generated_accuracy) / 2 - 0.5))


@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("everything", [False, True])
def test_a_predictor_predicts(features, everything):
    steps = torch.arange(10.0)[None, :, None]
    x = (torch.linspace(0, 6, 80)[:, None, None] + steps * 0.7).sin().expand(-1, -1, features) / 2 + 0.5
    task = (np.arange(40), np.arange(40, 80))
    early, late = (Predictor(everything, steps=n)(x, [task], generators(0))[0] for n in (1, 300))
    assert late < (0.8 if everything else 0.96) * early


def test_the_encoder_is_trained_and_seeded():
    x = sines(40, 12, 3, 1).astype(np.float32)
    quick = EncoderTraining(iterations=6)
    before = torch.random.get_rng_state()
    first, again, other = (train_encoder(x, seed, quick) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    embedded = first.embed(x)
    assert embedded.shape == (40, 320)
    noise = first.embed(rng.random((40, 12, 3)).astype(np.float32))
    halves = distance_between(Frechet(), embedded[:20], embedded[20:])
    assert distance_between(Frechet(), embedded, noise) > 2 * halves


def test_the_contrast_falls_in_training():
    from scorefield.domains.series.statistics import encoder as module

    x = torch.from_numpy(sines(8, 12, 3, 1).astype(np.float32))
    losses = []
    for iterations in (1, 40):
        trained = train_encoder(x.numpy(), 0, EncoderTraining(iterations=iterations))
        drawn = [torch.Generator().manual_seed(k) for k in range(6)]
        values = [float(module._contrast(trained, x, 0.0, generator).detach()) for generator in drawn]
        losses.append(np.mean(values))
    assert losses[1] < losses[0]


def straight(x):
    """Plain distances between all windows."""
    return np.sqrt(((x[:, None] - x[None]) ** 2).sum((2, 3)))


@pytest.mark.slow  # tslearn compiles for half a minute
def test_warping_distances():
    x = sines(24, 8, 2, 1).astype(np.float32)
    table = warping_distances(x, "dtw")
    assert table.shape == (24, 24)
    np.testing.assert_allclose(np.diag(table), 0, atol=1e-12)
    assert (table <= straight(x) + 1e-5).all()
    cost = ((x[0][:, None] - x[1][None]) ** 2).sum(-1).astype(float)
    best = np.full((9, 9), np.inf)
    best[0, 0] = 0
    for i in range(8):
        for j in range(8):
            best[i + 1, j + 1] = cost[i, j] + min(best[i, j], best[i, j + 1], best[i + 1, j])
    assert table[0, 1] == pytest.approx(np.sqrt(best[8, 8]), abs=1e-6)
    soft = warping_distances(x, "soft_dtw")
    np.testing.assert_allclose(np.diag(soft), 0, atol=1e-8)
    assert soft.min() > -1e-8
    one, two = x[:12], x[12:]
    found = compare_series(one, two, resampling=QUICK, only=["dtw_nn", "dtw_1nn", "soft_dtw_nn"], figures=False)
    assert 0.3 < found["dtw_nn"].value < 3
    assert found["soft_dtw_nn"].low <= found["soft_dtw_nn"].value <= found["soft_dtw_nn"].high
    assert 0 <= found["dtw_1nn"].value <= 1


def test_nearest_neighbours_of_two_sets():
    x = sines(24, 8, 2, 1).astype(np.float32)
    rows = np.arange(12), np.arange(12, 24)
    assert 0.3 < distance_between(NeighbourRatio(straight(x)), *rows) < 3
    copies = straight(np.concatenate([x[:12], x[:12]]))
    assert distance_between(NeighbourRatio(copies), *rows) == pytest.approx(0, abs=1e-6)
    assert distance_between(NeighbourAccuracy(copies), *rows) == 0
    far = straight(np.concatenate([x[:12], x[12:] + 9]))
    assert distance_between(NeighbourRatio(far), *rows) > 5
    assert distance_between(NeighbourAccuracy(far), *rows) == 1


def test_memorisation_is_below_one_for_copies():
    train, held, fresh = (sines(100, 8, 2, seed).astype(np.float32) for seed in (1, 2, 3))
    distances = nearest_distances(held, train)
    expected = np.sqrt(((held[:, None] - train[None]) ** 2).sum((2, 3))).min(1)
    np.testing.assert_allclose(distances, expected, atol=1e-4)
    value, interval = memorisation(nearest_distances(fresh, train), distances, 50, 0.95, np.random.default_rng(0))
    assert 0.6 < value < 1.6
    assert interval.low <= value <= interval.high
    copies = nearest_distances(train + 1e-3, train)
    assert memorisation(copies, distances, 0, 0.95, np.random.default_rng(0))[0] < 0.1
    assert memorisation(copies, distances, 0, 0.95, np.random.default_rng(0))[1] is None


def test_shifts_of_a_set_from_itself_are_zero():
    windows = ScoredWindows(sines(50, 12, 3, 1).astype(np.float32))
    for features in (windows.correlations, windows.values(), windows.autocorrelations, windows.lagged(2)):
        assert distance_between(SpectralMMD(), features, features) == pytest.approx(0, abs=1e-12)
    assert distance_between(DrawnMMD(), windows.values(), windows.values()) == pytest.approx(0, abs=1e-12)
    assert distance_between(MeanCorrelations(3, 12), windows.moments, windows.moments) == pytest.approx(0, abs=1e-12)
    assert len(SCORING_BANDWIDTHS) == 9
    assert windows.lagged(12).shape == (50, 0)
