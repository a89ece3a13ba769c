"""The layers of the networks: derivatives that are written out, attention against its dense form, odd graphs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from scorefield.core.errors import InputError
from scorefield.core.state import State
from scorefield.domains.geometry.geotdm import GeoTDM
from scorefield.domains.geometry.networks import spatial, temporal
from scorefield.domains.geometry.networks.elements import Frames, sinusoids
from scorefield.domains.geometry.networks.layout import Layout, LayoutMemory
from scorefield.domains.geometry.networks.spatial_written_out import SpatialWeights
from tests.geometry.small_systems import BACKBONES, pairs, system, trajectories, with_given

GRAPHS = {
    "complete": pairs(5),
    "loops": torch.tensor([[0, 0], [1, 1], [1, 2]]),
    "lonely": torch.tensor([[0, 1], [3, 1]]),
}


def randomised(layer: nn.Module) -> nn.Module:
    draws = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
    return layer


def layout(graph: str) -> Layout:
    edges = GRAPHS[graph].expand(2, -1, -1)
    features = torch.randn(*edges.shape[:2], 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    empty = torch.zeros(2, 5, 1, 3, dtype=torch.float64)
    return Layout.of(State({"x": empty}, {}, {"edges": edges, "edge_features": features}))


def compare(found: Sequence[Tensor], wanted: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
    """Values, first and second derivatives."""
    draws = torch.Generator().manual_seed(2)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    above = [torch.randn(one.shape, generator=draws, dtype=one.dtype) for one in found]
    first = [torch.autograd.grad(values, inputs, above, create_graph=True) for values in (found, wanted)]
    for one, other in zip(*first, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    totals = [sum((gradient * gradient.detach().cos()).sum() for gradient in gradients) for gradients in first]
    second = [torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True) for total in totals]
    for one, other in zip(*second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def leaf(*shape: int) -> Tensor:
    draws = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("graph", GRAPHS)
def test_derivatives_of_the_spatial_layer(graph: str, pre_norm: bool) -> None:
    layer, where = randomised(spatial.SpatialLayer(6, 2, pre_norm)), layout(graph)
    assert isinstance(layer, spatial.SpatialLayer)
    x, h = leaf(10, 3, 3), leaf(10, 3, 6)
    weights = SpatialWeights(*layer.edge_mlp.weights, *layer.coord_mlp.weights, *layer.node_mlp.weights)
    compare(layer(x, h, where), spatial.plainly(x, h, where, pre_norm, weights), [x, h, *weights])


def test_features_that_are_the_same_on_all_frames() -> None:
    layer, where = randomised(spatial.SpatialLayer(6, 2)), layout("complete")
    assert isinstance(layer, spatial.SpatialLayer)
    x, one = leaf(10, 3, 3), leaf(10, 1, 6)
    weights = SpatialWeights(*layer.edge_mlp.weights, *layer.coord_mlp.weights, *layer.node_mlp.weights)
    h = one.expand(-1, 3, -1)
    compare(layer(x, h, where), spatial.plainly(x, h, where, False, weights), [x, one, *weights])


@pytest.mark.parametrize("embedding", [6, 7])
@pytest.mark.parametrize("frames", ["all", "some", "of each node"])
def test_derivatives_of_the_temporal_layer(frames: str, embedding: int) -> None:
    layer = randomised(temporal.TemporalLayer(6, embedding))
    assert isinstance(layer, temporal.TemporalLayer)
    places = torch.arange(5) if frames != "of each node" else torch.arange(5) + 2 * torch.arange(4)[:, None]
    exist = torch.arange(5) < torch.tensor([5, 3, 2, 1])[:, None] if frames == "some" else None
    where = Frames.at(places, embedding, torch.float64, exist)
    x, h, weights = leaf(4, 5, 3), leaf(4, 5, 6), layer.weights
    compare(layer(x, h, where), temporal.plainly(x, h, where, weights), [x, h, *weights])


def dense(layer: temporal.TemporalLayer, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The layer with tensors [nodes, frames, frames, H], as published."""
    steps = torch.arange(x.shape[1], dtype=x.dtype)
    relative = layer.time_emb(sinusoids(steps[:, None] - steps, layer.time_emb.in_features))
    query, key, value = layer.q_mlp(h), layer.k_mlp(h), layer.v_mlp(h)
    attention = (query[:, :, None] * (key[:, None] + relative)).sum(-1).softmax(-1)
    shares = attention[..., None] * layer.x_mlp(value)[:, None]
    moved = x + (shares * (x[:, :, None] - x[:, None])).sum(2)
    return moved, h + (attention[..., None] * (value[:, None] + relative)).sum(2)


@pytest.mark.parametrize("frames", [1, 30, 200])
@torch.no_grad()
def test_attention_is_the_dense_one(frames: int) -> None:
    torch.manual_seed(0)
    layer = temporal.TemporalLayer(16, 8)
    x, h = torch.randn(5, frames, 3) + 100, torch.randn(5, frames, 16)
    found = layer(x, h, Frames.at(torch.arange(frames), 8, torch.float32))
    for one, other in zip(found, dense(layer, x, h), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_graphs_without_edges_and_coinciding_nodes(backbone: str) -> None:
    """Derivatives stay finite where nodes coincide, and a node may be alone."""
    model = system(2, **BACKBONES[backbone])
    one = trajectories([0, 1], batch=1)
    x = one["x"].clone()
    x[:, 1] = x[:, 0]
    empty = {**one.condition, "edges": torch.zeros(1, 0, 2, dtype=torch.long)}
    empty["edge_features"] = torch.zeros(1, 0, 1, dtype=torch.float64)
    loops = {**one.condition, "edges": one.condition["edges"].clone()}
    loops["edges"][:, 0] = 0
    for condition in (one.condition, empty, loops):
        state = with_given(State({"x": x.requires_grad_()}, {}, condition), [0, 1])
        output = model.network(state, torch.full((1,), 0.5, dtype=torch.float64))["x"]
        (gradient,) = torch.autograd.grad(output.sum() + model.origins(state)["x"].square().sum(), x)
        assert bool(gradient.isfinite().all())
        assert bool(output.isfinite().all())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_mixed_precision_is_near(backbone: str) -> None:
    model = system(3, dtype=torch.float32, **BACKBONES[backbone])
    state = trajectories([0, 1, 2], dtype=torch.float32)
    t = torch.full((3,), 0.5)
    exact, origin = model.network(state, t)["x"].detach(), model.origins(state)["x"].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, near = model.network(state, t)["x"], model.origins(state)["x"].detach()
        found.square().mean().backward()
    found = found.detach()
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) < 0.05 * float(exact.abs().max())
    assert float((near - origin).abs().max()) < 0.05 * float(origin.abs().max())
    assert not torch.equal(found, exact)


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_copies(backbone: str) -> None:
    model, state = system(3, **BACKBONES[backbone]), trajectories([0, 1, 2])
    t = torch.full((3,), 0.5, dtype=torch.float64)
    wanted = model.network(state, t)["x"]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other.network(state, t)["x"], wanted)


def test_layouts_are_remembered_until_something_changes() -> None:
    memory, state = LayoutMemory(), trajectories()
    first = memory.of(state)
    assert memory.of(state.replace({"x": state["x"] + 1})) is first
    state.condition["edge_features"].add_(1)
    second = memory.of(state)
    assert second is not first
    assert second.features is not None
    assert first.features is not None
    torch.testing.assert_close(second.features, first.features + 1)
    assert memory.of(state.rows(slice(0, 2))).batch == (2, 4)


def test_states_that_do_not_fit() -> None:
    model, state = system(), trajectories()
    t = torch.full((3,), 0.5, dtype=torch.float64)

    def refused(match: str, masks: dict[str, Tensor] | None = None, **changes: Tensor | None) -> None:
        condition = {k: v for k, v in {**state.condition, **changes}.items() if v is not None}
        with pytest.raises(InputError, match=match):
            model.network(State(state.components, masks or {}, condition), t)

    edges = state.condition["edges"]
    refused("outside of 0 to 3", edges=edges + 1)
    refused("outside of 0 to 3", edges=edges - 1)
    refused("node that does not exist", {"mask": torch.arange(4).expand(3, -1) < 3})
    refused("edge features of shape", edge_features=state.condition["edge_features"][:, :-1])
    refused("0 edge features", edge_features=None)
    refused("edge features without edges", edges=None)
    refused("edges of shape", edges=edges[0])
    refused("no node features", features=None)
    refused("node features of shape", features=state.condition["features"][..., :1])
    conditional = system(3)
    with pytest.raises(InputError, match="without given frames"):
        conditional.origins(state)
    for frames, match in (([], "without given frames"), (range(7), "all frames"), ([0, 1], "5 frames to generate")):
        with pytest.raises(InputError, match=match):
            conditional.origins(with_given(state, list(frames)))


def test_recipes_that_cannot_be() -> None:
    sizes = {"nodes": 4, "frames": 7, "space": 2, "features": 1, "edge_features": 0}
    for arguments, match in (
        ({"num_steps": 20}, "more than 20, or schedule cosine"),
        ({"backbone": "gnn"}, "backbone"),
        ({"prior": "first"}, "prior"),
        ({"hidden": 0}, "hidden is 0"),
        ({"embedding": 3}, "embedding is 3"),
        ({"pseudo_scalars": 2}, "only backbone e3nn"),
        ({"scale": 0.0}, "scale is 0"),
    ):
        with pytest.raises(InputError, match=match):
            GeoTDM(**arguments)
    assert GeoTDM(num_steps=10, schedule="cosine").path.num_steps == 10
    with pytest.raises(InputError, match="2 dimensions"):
        GeoTDM(backbone="e3nn", pseudo_scalars=2).build(sizes)
    with pytest.raises(InputError, match="7 of 7 frames"):
        GeoTDM().build({**sizes, "given": 7})


def test_published_sizes() -> None:
    sizes = {"nodes": 5, "frames": 20, "space": 3, "features": 1, "edge_features": 1}
    assert sum(p.numel() for p in GeoTDM().build(sizes).parameters()) == 1_418_252
    conditional = GeoTDM().build({**sizes, "frames": 30, "given": 10})
    assert sum(p.numel() for p in conditional.parameters()) == 1_889_828
