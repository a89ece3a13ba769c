"""Losses of interpolants against the published ones, couplings, and a training from start to end."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from scorefield.core.checkpoints import load_weights
from scorefield.core.draws import SampleStreams
from scorefield.core.errors import InputError
from scorefield.core.fitting import fit
from scorefield.core.interpolants.analytic import gaussian_bridge
from scorefield.core.interpolants.couplings import DataDependent, Independent, OptimalTransport, Paired
from scorefield.core.interpolants.interpolant import QUANTITIES, interpolant_named
from scorefield.core.interpolants.objectives import InterpolantMatching
from scorefield.core.interpolants.sampling import transport
from scorefield.core.interpolants.system import Bridge, InterpolantSystem
from scorefield.core.noise import Seeded
from scorefield.core.objectives import Draws
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network
from tests.core.bridge_recipe import Points
from tests.core.tiny_recipe import tiny_batch, tiny_system

NAMES = {
    "linear": "linear", "trig": "trigonometric", "encoding-decoding": "encoder-decoder", "mirror": "mirror",
    "one-sided-linear": "one-sided-linear", "one-sided-trig": "one-sided-trigonometric",
}  # fmt: skip
GAMMAS = {"brownian": "brownian", "bsquared": "quadratic", "sinesquared": "sine-squared"}
# By published loss: our quantity, and whether it is a sum over both signs of the noise.
LOSSES = {
    "b": ("velocity", True), "s": ("score", True), "v": ("path_velocity", False), "eta": ("denoiser", False),
    "one-sided-b": ("velocity", False), "one-sided-v": ("velocity", False), "one-sided-s": ("score", True),
    "one-sided-eta": ("denoiser", False), "mirror": ("score", False),
}  # fmt: skip


PUBLISHED = ("velocity", "path_velocity", "score", "denoiser")


class Published(Network):
    """tanh(W (r, x) + b); as a denoiser with its sign turned, as the published one learns -E[z | x]."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, state, t):
        value = torch.tanh(torch.cat([1 - t[:, None], state["x"]], 1) @ self.weight.T + self.bias)
        values = dict.fromkeys(PUBLISHED, value) | {"denoiser": -value}
        return {f"x.{quantity}": v for quantity, v in values.items()}


@pytest.fixture(scope="module")
def published(shared_dir):
    return {k: torch.from_numpy(v) for k, v in np.load(shared_dir / "fixtures" / "core" / "interflow.npz").items()}


def one_component(interpolant, network):
    return InterpolantSystem({"x": Component(Bridge(interpolant), Masked(), "velocity")}, network, PUBLISHED)


def test_losses_are_the_published_ones(published):
    keys = [key for key in published if key.startswith("loss|")]
    assert len(keys) == 33
    for key in keys:
        _, path, gamma, loss = key.split("|")
        quantity, antithetic = LOSSES[loss]
        one_sided = path.startswith("one-sided")
        interpolant = interpolant_named(NAMES[path], None if one_sided else GAMMAS[gamma])
        system = one_component(interpolant, Published(published["net_W"], published["net_b"]))
        objective = InterpolantMatching(form="bilinear", antithetic=antithetic)
        # The published code puts its Gaussian end into x0, also for the mirror.
        noise = published["x0"] if one_sided or path == "mirror" else published["z"]
        found = []
        for i in range(16):
            draws = Draws(1 - published["ts"][i : i + 1], {"x": noise[i : i + 1]}, {"x": published["x0"][i : i + 1]})
            state = State({"x": published["x1"][i : i + 1]})
            found.append(objective.losses(system, state, draws)[f"x_{quantity}"])
        # Ours are means over two entries and over signs.
        sums = torch.stack(found) * (4 if antithetic else 2)
        torch.testing.assert_close(sums, published[key], rtol=0, atol=1e-8, msg=lambda m, key=key: f"{key}: {m}")


def graph_system(quantities=("velocity", "score")):
    components = {
        "x": Component(Bridge(interpolant_named("linear")), Masked(), "velocity"),
        "adj": Component(Bridge(interpolant_named("trigonometric", "quadratic")), SymmetricAdjacency(), "velocity"),
    }

    class Own(Network):
        def forward(self, state, t):
            values = {"x": torch.sin(state["x"]), "adj": torch.cos(state["adj"])}
            return {f"{n}.{q}": (i + 1) * v for n, v in values.items() for i, q in enumerate(quantities)}

    return InterpolantSystem(components, Own(), quantities)


def graphs(count, extra=0):
    """Random graphs with source samples, padded by `extra` nodes."""
    batch, source = tiny_batch(count), tiny_batch(count, seed=1)
    mask = batch["mask"]
    batch["source_x"] = source["x"] * mask[..., None]
    batch["source_adj"] = source["adj"] * (mask[:, :, None] & mask[:, None])
    pad = torch.nn.functional.pad
    for name, value in batch.items():
        sides = {"x": (0, 0, 0, extra), "adj": (0, extra, 0, extra), "mask": (0, extra)}[name.removeprefix("source_")]
        batch[name] = pad(value, sides)
    return batch


@pytest.mark.parametrize("coupling", [Paired(), Independent(), Independent("normal"), OptimalTransport()])
@pytest.mark.parametrize("form", ["mse", "bilinear"])
def test_losses_do_not_see_padding(coupling, form):
    system, objective = graph_system(), InterpolantMatching(coupling, form)
    found = []
    for extra in (0, 4):
        state = system.state(graphs(16, extra))
        found.append(objective.losses(system, state, objective.draw(system, state, SampleStreams(16, "t"))))
    assert found[0].keys() == {"x_velocity", "x_score", "adj_velocity", "adj_score"}
    for name, loss in found[0].items():
        assert loss.item() == pytest.approx(found[1][name].item(), rel=1e-5)


def gaussian(interpolant="linear", gamma="brownian", predicts=QUANTITIES):
    means, eye = torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.eye(2)
    return gaussian_bridge(
        interpolant_named(interpolant, gamma), (means[0], eye), (means[1], 0.3 * eye), None, predicts
    )


class Scaled(Network):
    """Another network's outputs times a number that can be learnt."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.scale = inner, torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, state, t):
        return {name: self.scale * value for name, value in self.inner(state, t).items()}


def pairs(system, count, seed=0):
    """Target samples with independent source samples."""
    draw, begin, end = Seeded(seed), *system.network.means
    like = torch.zeros(count, 2, dtype=torch.float64)
    return State({"x": end + 0.3**0.5 * draw.normal(like)}, condition={"source_x": begin + draw.normal(like)})


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("antithetic", [True, False])
def test_the_exact_quantity_is_where_the_loss_is_least(quantity, antithetic):
    system = gaussian()
    state = pairs(system, 40_000)
    system.network = Scaled(system.network)
    objective = InterpolantMatching(antithetic=antithetic, margin=0.02)
    loss = objective.losses(system, state, objective.draw(system, state, SampleStreams(40_000, 0)))[f"x_{quantity}"]
    (slope,) = torch.autograd.grad(loss, system.network.scale, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, system.network.scale)
    assert abs(float((slope / curvature).detach())) < 0.03  # Newton's step from 1 to the least loss


def test_both_forms_have_the_same_gradient_up_to_a_factor_of_two():
    system = gaussian(predicts=("velocity",))
    state = pairs(system, 64)
    system.network = Scaled(system.network)
    slopes = []
    for form in ("mse", "bilinear"):
        objective = InterpolantMatching(form=form)
        draws = objective.draw(system, state, SampleStreams(64, 0))
        total = objective.total(objective.losses(system, state, draws))
        slopes.append(float(torch.autograd.grad(total, system.network.scale)[0]))
    assert slopes[0] == pytest.approx(2 * slopes[1], rel=1e-9)


def test_antithetic_noise_steadies_the_gradient():
    system = gaussian(predicts=("velocity",))
    state = pairs(system, 8)
    system.network = Scaled(system.network)
    spread = {}
    for antithetic in (True, False):
        objective, slopes = InterpolantMatching(Paired(), antithetic=antithetic, margin=1e-3), []
        for seed in range(60):
            losses = objective.losses(system, state, objective.draw(system, state, SampleStreams(8, seed)))
            slopes.append(float(torch.autograd.grad(losses["x_velocity"], system.network.scale)[0]))
        spread[antithetic] = np.std(slopes)
    assert spread[True] < 0.7 * spread[False]


def test_times_lie_inside_the_margin_and_sources_come_last():
    system, state = gaussian(), pairs(gaussian(), 2000)
    draws = InterpolantMatching(margin=0.2).draw(system, state, SampleStreams(2000, 0))
    assert 0.2 <= draws.t.min() < 0.21
    assert 0.79 < draws.t.max() <= 0.8
    plain = InterpolantMatching(Paired(), margin=0.2).draw(system, state, SampleStreams(2000, 0))
    assert torch.equal(plain.noise["x"], draws.noise["x"])
    one_sided = gaussian("one-sided-linear", None)
    assert not InterpolantMatching().draw(one_sided, State({"x": state["x"]}), SampleStreams(2000, 0)).source


def test_weights_scale_the_total():
    objective = InterpolantMatching(weights={"x_score": 3.0})
    assert objective.total({"x_velocity": torch.tensor(1.0), "x_score": torch.tensor(2.0)}).item() == 7.0


def sources(coupling, batch, names=("x", "adj")):
    system = graph_system()
    state = system.state(batch)
    return coupling.source(system, state, list(names), SampleStreams(len(state), "c")), state


def test_paired_sources_stay_in_their_rows():
    found, state = sources(Paired(), graphs(8))
    for name, value in found.items():
        assert torch.equal(value, state.condition[f"source_{name}"])


@pytest.mark.parametrize("coupling", [Independent(), OptimalTransport(), OptimalTransport(regularisation=0.05)])
def test_only_samples_of_equal_masks_are_joined(coupling):
    batch = graphs(64)
    found, state = sources(coupling, batch)
    tagged = {**batch, "source_x": batch["mask"].sum(1)[:, None, None] * batch["mask"][..., None] * torch.ones(3)}
    tags, _ = sources(coupling, tagged)
    assert torch.equal(tags["x"].amax((1, 2)), batch["mask"].sum(1).float())
    assert not torch.equal(found["x"], state.condition["source_x"])


def test_shuffling_uses_every_source_sample_once_and_joins_all_components_alike():
    batch = graphs(32)
    batch["mask"][:] = True
    found, state = sources(Independent(), batch)
    rows = [torch.cat([v["x"].flatten(1), v["adj"].flatten(1)], 1) for v in (found, {
        name: state.condition[f"source_{name}"] for name in ("x", "adj")})]  # fmt: skip
    assert sorted(map(tuple, rows[0].tolist())) == sorted(map(tuple, rows[1].tolist()))


def points(count, width=2):
    draw = Seeded(0)
    like = torch.zeros(count, width, dtype=torch.float64)
    return State({"x": draw.normal(like) + 1}, condition={"source_x": draw.normal(like)})


def test_the_exact_plan_is_the_best_assignment():
    state = points(40)
    found = OptimalTransport().source(gaussian(), state, ["x"], SampleStreams(40, 0))["x"]
    cost = torch.cdist(state.condition["source_x"], state["x"]).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    best = torch.empty_like(found)
    best[columns] = state.condition["source_x"][rows]
    assert torch.equal(found, best)


def test_regularisation_leads_from_the_best_assignment_to_independence():
    state, system = points(60), gaussian()

    def cost(regularisation):
        found = OptimalTransport(regularisation=regularisation).source(system, state, ["x"], SampleStreams(60, 0))["x"]
        return float((found - state["x"]).square().sum(1).mean())

    best, little, much = (cost(value) for value in (0.0, 0.02, 50.0))
    apart = float(torch.cdist(state.condition["source_x"], state["x"]).square().mean())
    assert best <= little < 1.3 * best
    assert much == pytest.approx(apart, rel=0.25)


def test_transport_from_noise_shortens_the_paths():
    state, system = points(64), gaussian()
    lengths = [
        float((coupling.source(system, state, ["x"], SampleStreams(64, 0))["x"] - state["x"]).square().mean())
        for coupling in (OptimalTransport("normal"), Independent("normal"))
    ]
    assert lengths[0] < 0.7 * lengths[1]


def test_a_data_dependent_source_is_its_mean_and_noise():
    state = points(4000)
    coupling = DataDependent(lambda given: {"x": 0.5 * given["x"]}, 0.1)
    found = coupling.source(gaussian(), state, ["x"], SampleStreams(4000, 0))["x"]
    rest = found - 0.5 * state["x"]
    assert rest.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(rest.mean().item()) < 0.01


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: Independent("noise"), "given, normal"),
        (lambda: OptimalTransport(regularisation=-1.0), "regularisation -1"),
        (lambda: DataDependent(lambda state: {}, -0.1), "std -0.1"),
        (lambda: sources(DataDependent(lambda state: {"x": state["x"]}, 0.1), graphs(2)), "lacks adj"),
        (lambda: sources(Paired(), tiny_batch(2)), "source samples of x are missing"),
        (lambda: InterpolantMatching(form="msq"), "did you mean 'mse'"),
        (lambda: InterpolantMatching(margin=0.5), "margin 0.5"),
        (
            lambda: InterpolantMatching().draw(tiny_system(), State({}), SampleStreams(2, 0)),
            "use DenoisingScoreMatching",
        ),
    ],
)
def test_bad_input_says_what_is_right(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_a_weight_of_no_loss_is_refused():
    system, state = gaussian(), pairs(gaussian(), 4)
    objective = InterpolantMatching(weights={"x_denoise": 1.0})
    with pytest.raises(InputError, match="did you mean 'x_denoiser'"):
        objective.losses(system, state, objective.draw(system, state, SampleStreams(4, 0)))


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    monkeypatch.setitem(sys.modules, "torchdiffeq._impl.odeint", None)
    with pytest.raises(InputError, match=r"scorefield\[ot\]"):
        sources(OptimalTransport(regularisation=0.1), graphs(2))
    with pytest.raises(InputError, match=r"scorefield\[ode\]"):
        transport(gaussian(), points(2), method="dopri5")


CONFIG = {
    "model": {
        "system": {"class_path": "tests.core.bridge_recipe.Points"},
        "objective": {
            "class_path": "scorefield.core.interpolants.objectives.InterpolantMatching",
            "init_args": {"coupling": {"class_path": "scorefield.core.interpolants.couplings.OptimalTransport"}},
        },
        "lr": 5e-3,
        "lr_schedule": "cosine",
        "ema_decay": 0.98,
    },
    "data": {"init_args": {"batch_size": 128}},
    "trainer": {"max_epochs": 12, "accelerator": "cpu", "devices": 1},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A system trained to carry N(0, 1) to two peaks, and the data."""
    draw = np.random.default_rng(0)
    data = np.where(draw.random(4096) < 0.3, -1.5, 1.0) + 0.3 * draw.standard_normal(4096)
    states = {"x": data[:, None, None], "source_x": draw.standard_normal((4096, 1, 1))}
    states = {name: value.astype(np.float32) for name, value in states.items()} | {"mask": np.ones((4096, 1), bool)}
    folder = fit(CONFIG, states, tmp_path_factory.mktemp("runs") / "run")
    system = Points().build({"features": 1})
    system.load_state_dict(load_weights(folder, "ema"))
    return system, data


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "dopri5"}, {"diffusion": 0.3}, {"diffusion": lambda r: r * (1 - r), "method": "euler"}],
)
def test_a_trained_interpolant_transports_a_gaussian_to_a_mixture(trained, options):
    system, data = trained
    source = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(1))
    state = State({"x": source}, {"mask": torch.ones(4000, 1, dtype=torch.bool)})
    found = transport(system, state, 40, noise=Seeded(0), **options).state["x"].flatten().numpy()
    levels = np.linspace(0.005, 0.995, 200)
    assert abs(found.mean() - data.mean()) < 0.08
    assert abs(found.std() - data.std()) < 0.08
    assert abs((found < -0.4).mean() - (data < -0.4).mean()) < 0.04
    assert np.abs(np.quantile(found, levels) - np.quantile(data, levels)).mean() < 0.15


def test_a_trained_interpolant_carries_the_target_back_to_the_source(trained):
    system, data = trained
    state = State({"x": torch.from_numpy(data).float()[:, None, None]})
    found = transport(system, state, 40, start=1.0, end=0.0).state["x"]
    assert abs(found.mean().item()) < 0.08
    assert abs(found.std().item() - 1) < 0.15
