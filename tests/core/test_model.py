"""Models in Python: sampling a known density, chunk by chunk; scores; settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import scorefield
from scorefield.core.checkpoints import load_record, load_weights, save_model
from scorefield.core.diffusion import Diffusion, Settings
from scorefield.core.errors import InputError
from scorefield.core.noise import stream_seed
from scorefield.core.paths import VP
from scorefield.core.spaces import SymmetricAdjacency

CPU = torch.device("cpu")


@pytest.fixture
def model(toy_run):
    return scorefield.load(toy_run)


def test_samples_have_the_known_distribution(model):
    points = model.sample(2000, steps=20, seed=3)
    assert len(points) == 2000
    present = np.arange(5) < points.count[:, None]
    values = points.x[present]
    assert np.allclose(values.mean(0), [1.0, -2.0], atol=0.03)
    assert np.allclose(values.std(0), 0.5, atol=0.02)
    assert (points.x[~present] == 0).all()


def test_averaged_weights_are_others(model):
    raw, ema = (model.sample(500, weights=which).x for which in ("raw", "ema"))
    assert np.allclose(ema[raw != 0].mean() - raw[raw != 0].mean(), 0.25, atol=1e-3)


def test_the_state_comes_with_the_samples(model):
    points = model.sample(30, chunk_size=8, tile_size=4)
    state = model.sample(30, chunk_size=8, tile_size=4, decode=False)
    assert torch.equal(state["x"], points.state["x"])
    assert torch.equal(state["x"], torch.from_numpy(points.x))
    assert state["x"].shape == (30, 5, 2)
    assert torch.equal(state.masks["mask"].sum(1), torch.from_numpy(points.count))


def test_equal_seeds_give_equal_samples_and_others_others(model):
    first, second, other = (model.sample(20, seed=seed).x for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()


def test_a_chunk_depends_on_its_number_alone(model):
    whole = model.sample(30, chunk_size=10, tile_size=4, decode=False)
    generator = model.generator(tile_size=4)
    for number in (2, 0, 1):
        state, calls = generator.states(number, 10, CPU)
        assert torch.equal(state["x"], whole["x"][number * 10 : (number + 1) * 10])
        assert calls == 10


def test_what_a_solver_measures_of_the_model_is_the_same_for_every_chunk(model):
    whole = model.sample(20, "dpm-v3", steps=6, chunk_size=10, decode=False)
    last, _ = model.generator("dpm-v3", 6).states(1, 10, CPU)
    assert torch.equal(whole["x"][10:], last["x"])
    exact = model.sample(20, "unipc", steps=40, chunk_size=10, decode=False)["x"]
    assert (whole["x"] - exact).abs().max() < 0.05


def test_chunks_differ_from_one_another(model):
    whole = model.sample(20, chunk_size=10, decode=False)
    assert not torch.equal(whole["x"][:10], whole["x"][10:])


def test_samples_stand_in_the_order_in_which_sizes_were_drawn(model):
    points = model.sample(50, seed=4)
    stream = torch.Generator().manual_seed(stream_seed("draw", 4, 0))
    drawn = model.domain.draw(50, {"largest": 5}, stream)["num_nodes"]
    assert points.count.tolist() == drawn.tolist()


@pytest.mark.filterwarnings("ignore:1 step lowers the order")
def test_network_calls_have_the_shape_of_tiles(model):
    shapes = []
    model.system().network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0]["x"].shape)))
    model.sample(10, steps=1, tile_size=4)
    assert [shape[0] for shape in shapes] == [4, 4, 2]
    widths = [shape[1] for shape in shapes]
    assert widths == sorted(widths)


def test_conditions_fix_what_would_be_drawn(model):
    assert set(model.sample(20, conditions={"num_nodes": 3}).count) == {3}
    with pytest.raises(InputError, match="num_nodes = 6"):
        model.sample(20, conditions={"num_nodes": 6})
    with pytest.raises(InputError, match="unknown condition 'charge'"):
        model.sample(20, conditions={"charge": 1})


def test_a_condition_among_the_arguments_is_told_where_it_goes(model, monkeypatch):
    monkeypatch.setattr(type(model.domain), "conditions", ("num_nodes",), raising=False)
    with pytest.raises(InputError, match=r"is a condition, .*; give conditions=\{'num_nodes': 3\}"):
        model.sample(3, num_nodes=3)


@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-4), ("bf16-mixed", 0.1)])
def test_precisions(model, precision, tolerance):
    plain = model.generator()
    other = model.generator(precision=precision)
    assert other.request() != plain.request()
    start = model.domain.frame({"num_nodes": torch.full((6,), 5)}, {}, {}).to(dtype=other.dtype)
    x = torch.randn(start["x"].shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((6,), 0.3)
    want = plain.system(start.replace({"x": x}), t)["x"]
    have = other.system(start.replace({"x": x.to(other.dtype)}), t.to(other.dtype))["x"]
    assert have.dtype == other.dtype
    assert torch.allclose(have.float(), want, atol=tolerance)
    assert model.sample(4, precision=precision, decode=False)["x"].dtype == other.dtype


def test_precisions_do_not_change_one_another(model):
    before = model.sample(5, decode=False)["x"]
    model.sample(5, precision="64-true")
    model.sample(5, precision="bf16-mixed")
    assert torch.equal(model.sample(5, decode=False)["x"], before)


def test_the_score_is_the_known_one(model):
    path, t = VP(), torch.tensor([0.2, 0.9])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    x = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0)) * mask[..., None]
    alpha, sigma = path.alpha(t)[:, None, None], path.sigma(t)[:, None, None]
    expected = (alpha * torch.tensor([1.0, -2.0]) - x) / ((0.5 * alpha) ** 2 + sigma**2) * mask[..., None]
    assert torch.allclose(model.score({"x": x, "mask": mask}, t)["x"], expected, atol=1e-5)
    one = model.score({"x": x, "mask": mask}, 0.2)["x"]
    assert torch.allclose(one[0], expected[0], atol=1e-5)


def test_gradients_flow_through_the_score(model):
    x = torch.zeros(1, 2, 2, requires_grad=True)
    model.score({"x": x}, 0.5)["x"].sum().backward()
    assert (x.grad < 0).all()


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_times_outside_the_unit_interval_have_no_score(model, t):
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        model.score({"x": torch.zeros(1, 2, 2)}, t)


def test_malformed_scores_are_refused(model):
    with pytest.raises(InputError, match="the state lacks x"):
        model.score({"y": torch.zeros(1, 2, 2)}, 0.5)
    with pytest.raises(InputError, match=r"times of shape \(2,\) for 3 rows"):
        model.score({"x": torch.zeros(3, 2, 2)}, torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize(
    ("x", "mask", "expected"),
    [
        ((2, 3), (2, 3), r"x has shape \(2, 3\); 3 axes are needed"),
        ((2, 3, 2, 1), (2, 3), "3 axes are needed"),
        ((2, 3, 2), (3, 3), r"mask has shape \(3, 3\); the first component has 2 rows"),
        ((2, 3, 2), (2,), "2 axes are needed"),
        ((2, 3, 2), (2, 4), r"x has shape \(2, 3, 2\); mask has shape \(2, 4\)"),
        ((2, 3, 4), (2, 3), "the run has 2 features"),
    ],
)
def test_wrong_shapes_have_no_score(model, monkeypatch, x, mask, expected):
    monkeypatch.setitem(model.record.sizes, "features", 2)
    with pytest.raises(InputError, match=expected):
        model.score({"x": torch.zeros(x), "mask": torch.ones(mask, dtype=torch.bool)}, 0.5)


def test_an_adjacency_that_is_not_square_has_no_score(model, monkeypatch):
    components = model.system().components
    monkeypatch.setitem(components, "x", dataclasses.replace(components["x"], space=SymmetricAdjacency()))
    with pytest.raises(InputError, match="must be square"):
        model.score({"x": torch.zeros(2, 3, 2)}, 0.5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num": 0}, "give at least 1"),
        ({"num": 5, "solver": "magic"}, "unknown solver 'magic'.*ddim"),
        ({"num": 5, "steps": 0}, "steps"),
        ({"num": 5, "chunk_size": 0}, "give at least 1"),
        ({"num": 5, "tile_size": 0}, "give at least 1"),
        ({"num": 5, "weights": "best"}, "unknown weights"),
        ({"num": 5, "precision": "16"}, "unknown precision '16'"),
        ({"num": 5, "device": "tpu"}, "unknown device"),
        ({"num": 5, "snrr": 1.0}, "no argument 'snrr'"),
    ],
)
def test_impossible_settings(model, settings, expected):
    with pytest.raises(InputError, match=expected):
        model.sample(**settings)


def test_the_runs_arguments_belong_to_its_solver(toy, tmp_path):
    default = {"solver": "pc", "steps": 50, "weights": "raw", "arguments": {"snr": 0.1}}
    model = scorefield.load(toy.make_run(tmp_path / "run", sampling=default))
    assert model.generator().settings.arguments == {"snr": 0.1}
    assert model.generator(arguments={"scale": 0.9}).settings.arguments == {"snr": 0.1, "scale": 0.9}
    assert model.generator(solver="ddim").settings.arguments == {}
    assert model.generator().states(0, 4, CPU)[1] == 101  # corrector and final calls are counted


def test_a_run_without_a_default_sampler_needs_one_named(toy, tmp_path):
    model = scorefield.load(toy.make_run(tmp_path / "run", sampling={}))
    with pytest.raises(InputError, match="no default sampler"):
        model.sample(1)
    assert len(model.sample(1, solver="ddim", steps=2)) == 1


def test_a_request_tells_models_apart(toy_run, model):
    other = load_record(toy_run)
    other.tables["largest"] = 4
    system, settings = model.system(), Settings("ddim", 3)
    requests = [Diffusion(system, model.domain, record, settings).request() for record in (model.record, other)]
    assert requests[0]["model"] != requests[1]["model"]
    raw = load_weights(toy_run)
    save_model(toy_run, other, {**raw, "network.mean": torch.zeros(2)}, None)
    assert load_record(toy_run).weights_hash != model.record.weights_hash


def test_loading_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        scorefield.load(tmp_path)
    with pytest.raises(InputError, match="neither a run folder nor a packaged run"):
        scorefield.load(tmp_path / "nothing")


def test_a_run_of_a_domain_that_is_not_installed(toy, tmp_path):
    with pytest.raises(InputError, match="unknown domain 'crystals'"):
        scorefield.load(toy.make_run(tmp_path / "run", domain="crystals"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_gives_the_known_distribution(model, precision):
    points = model.sample(2000, steps=20, device="cuda", precision=precision)
    values = points.x[np.arange(5) < points.count[:, None]]
    assert np.allclose(values.mean(0), [1.0, -2.0], atol=0.05)
    assert np.allclose(values.std(0), 0.5, atol=0.05)
    again = model.sample(2000, steps=20, device="cuda", precision=precision)
    assert (again.x == points.x).all()


def test_the_score_is_computed_in_the_type_of_the_weights(model):
    x = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = model.score({"x": x}, torch.tensor([0.2, 0.9], dtype=torch.float64))["x"]
    assert torch.equal(score, model.score({"x": x.float()}, torch.tensor([0.2, 0.9]))["x"])


def test_a_mask_that_the_network_needs_is_named(model, monkeypatch):
    network = type(model.system().network)
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda self, state, t: (state.masks["mask"], forward(self, state, t))[1])
    with pytest.raises(InputError, match="the state lacks mask"):
        model.score({"x": torch.zeros(1, 2, 2)}, 0.5)


def test_the_request_tells_the_versions_of_the_domain(model, monkeypatch):
    before = model.generator().request()
    monkeypatch.setattr(type(model.domain), "versions", lambda self, tables: {"chemistry": "1"}, raising=False)
    assert model.generator().request() == {**before, "chemistry": "1"}
