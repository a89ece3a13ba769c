"""What GeoTDM knows of space and of the order of nodes and frames, by both backbones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scorefield.core.noise import Seeded
from scorefield.core.objectives import DenoisingScoreMatching, Draws
from scorefield.core.paths import EDM
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.state import State
from scorefield.domains.geometry.networks.irreps import harmonics, library
from scorefield.domains.geometry.networks.network import TrajectoryNetwork
from tests.geometry.small_systems import BACKBONES, FRAMES, NODES, moved, system, trajectories

SHARES = {torch.float32: 1e-5, torch.float64: 1e-10}
MODES = {"unconditional": None, "forecast": [0, 1, 2], "interpolation": [0, 1, 6]}


def rotation(dtype: torch.dtype = torch.float64, space: int = 3) -> Tensor:
    """A rotation by some angle about some axis."""
    draws = torch.Generator().manual_seed(1)
    found, _ = torch.linalg.qr(torch.randn(space, space, generator=draws, dtype=torch.float64))
    return (
        (found * found.det().sign()).to(dtype) if space == 3 else (found * torch.tensor([1.0, found.det()])).to(dtype)
    )


def close(found: Tensor, wanted: Tensor, share: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=share * float(wanted.detach().abs().max()))


def times(state: State) -> Tensor:
    return torch.linspace(0.1, 0.9, len(state), dtype=state.dtype)


def outputs(model: Any, state: State) -> tuple[Tensor, Tensor | None]:
    """The network's output where x is seen as it stands, and the origin."""
    return model.network(state, times(state))["x"], model.origins(state).get("x")


@pytest.mark.parametrize("dtype", SHARES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_rotations_reflections_and_translations(backbone: str, mode: str, dtype: torch.dtype) -> None:
    given, share = MODES[mode], SHARES[dtype]
    model = system(len(given or []), dtype=dtype, **BACKBONES[backbone])
    state, turn = trajectories(given, dtype=dtype), rotation(dtype)
    assert float((turn @ turn.T - torch.eye(3, dtype=dtype)).abs().max()) < share
    shift = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
    output, origin = outputs(model, state)
    assert output.dtype == dtype
    for map_ in (turn, -turn):
        found, found_origin = outputs(model, moved(state, map_, shift))
        close(found, output @ map_.T, share)
        if origin is not None:
            close(found_origin, origin @ map_.T + shift, share)


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_features_do_not_turn(backbone: str) -> None:
    model, state = system(**BACKBONES[backbone]), trajectories()
    network = model.network
    assert isinstance(network, TrajectoryNetwork)
    kept = []
    network.t_modules[-1].register_forward_hook(lambda module, inputs, result: kept.append(result[1]))
    for turned in (state, moved(state, rotation(), 3.0)):
        network(turned, times(state))
    close(*(h[..., : network.backbone.hidden] for h in kept), share=1e-10)


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_a_plane_is_enough(backbone: str) -> None:
    model, state = system(3, space=2, **BACKBONES[backbone]), trajectories([0, 1, 2], space=2)
    turn = rotation(space=2)
    (output, origin), (found, other) = outputs(model, state), outputs(model, moved(state, turn, 1.0))
    close(found, output @ turn.T, 1e-10)
    close(other, origin @ turn.T + 1.0, 1e-10)


@torch.no_grad()
def test_pseudo_scalars_tell_mirror_images_apart_and_rotations_not() -> None:
    model, turn = system(3, pseudo_scalars=2, prior_layers=2, **BACKBONES["e3nn"]), rotation()
    state = trajectories([0, 1, 2])
    (output, origin), (found, other) = outputs(model, state), outputs(model, moved(state, turn, 1.0))
    close(found, output @ turn.T, 1e-10)
    close(other, origin @ turn.T + 1.0, 1e-10)
    mirrored, mirrored_origin = outputs(model, moved(state, -turn, 1.0))
    assert float((mirrored + output @ turn.T).abs().max()) > 1e-6 * float(output.abs().max())
    assert float((mirrored_origin + origin @ turn.T - 1.0).abs().max()) > 1e-6


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_order_of_nodes_and_of_edges(backbone: str) -> None:
    model, state = system(3, **BACKBONES[backbone]), trajectories([0, 1, 2])
    output, origin = outputs(model, state)
    order, edge_order = torch.tensor([2, 0, 3, 1]), torch.randperm(12, generator=torch.Generator().manual_seed(0))
    condition = dict(state.condition)
    for name in ("features", "given_x"):
        condition[name] = condition[name][:, order]
    condition["edges"] = order.argsort()[condition["edges"]][:, edge_order]
    condition["edge_features"] = condition["edge_features"][:, edge_order]
    found, other = outputs(model, State({"x": state["x"][:, order]}, state.masks, condition))
    close(found, output[:, order], 1e-10)
    close(other, origin[:, order], 1e-10)


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_padding_does_nothing(backbone: str) -> None:
    """Nodes, edges and frames that do not exist, whatever stands in their places."""
    model, state = system(2, **BACKBONES[backbone]), trajectories([0, 2])
    output, origin = outputs(model, state)
    x = torch.full((3, NODES + 2, FRAMES + 1, 3), 7.0, dtype=torch.float64)
    x[:, :NODES, :FRAMES] = state["x"]
    pad, condition = torch.nn.functional.pad, state.condition
    given = pad(state.masks["given_frames"], (0, 1))
    masks = {"mask": torch.arange(NODES + 2).expand(3, -1) < NODES, "given_frames": given}
    masks["frame_mask"] = torch.arange(FRAMES + 1).expand(3, -1) < FRAMES
    wide = {
        "features": pad(condition["features"], (0, 0, 0, 2), value=9.0),
        "edges": pad(condition["edges"], (0, 0, 0, 3)),
        "edge_mask": torch.arange(15).expand(3, -1) < 12,
        "edge_features": pad(condition["edge_features"], (0, 0, 0, 3), value=5.0),
        "given_x": x * given[:, None, :, None],
    }
    found, other = outputs(model, State({"x": x}, masks, wide))
    close(found[:, :NODES, :FRAMES], output, 1e-10)
    close(other[:, :NODES, :FRAMES], origin, 1e-10)
    assert not found[:, NODES:].any()
    assert not other[:, NODES:].any()
    assert not other[:, :, FRAMES:].any()


@torch.no_grad()
def test_given_frames_that_differ_between_trajectories() -> None:
    """Each trajectory of a batch gets what it gets alone, with as many given frames as the others or not."""
    model, state = system(2, prior_layers=2, **BACKBONES["egtn"]), trajectories()
    given = torch.zeros(3, FRAMES, dtype=torch.bool)
    for row, frames in enumerate(([0, 1], [0, 6], [2, 3, 5])):
        given[row, frames] = True
    known = state["x"] * given[:, None, :, None]
    whole = State(state.components, {"given_frames": given}, {**state.condition, "given_x": known})
    output, origin = outputs(model, whole)
    for row in range(3):
        rows = slice(row, row + 1)
        close(model.origins(whole.rows(rows))["x"], origin[rows], 1e-10)
        close(model.network(whole.rows(rows), times(whole)[rows])["x"], output[rows], 1e-10)


@torch.no_grad()
def test_frames_keep_their_places_in_time() -> None:
    """What the original gets wrong: given frames that are no beginning. An even reversal of time tells frames apart."""
    model, state = system(4, **BACKBONES["egtn"]), trajectories([0, 1, 5, 6])
    _, origin = outputs(model, state)
    free = ~state.masks["given_frames"][0]
    known = state["x"][:, :, ~free]
    assert torch.equal(origin[:, :, ~free], known)
    # The same positions given at other places in time give another origin.
    elsewhere = trajectories([0, 1, 2, 3])
    condition = {**elsewhere.condition, "given_x": torch.zeros_like(state["x"])}
    condition["given_x"][:, :, :4] = known
    other = model.origins(State(elsewhere.components, elsewhere.masks, condition))["x"]
    assert float((other[:, :, 4:] - origin[:, :, free]).abs().max()) > 1e-3


@torch.no_grad()
def test_prefixes_are_no_special_case() -> None:
    """Prefixes given in all trajectories take a table of times; the same prefix beside another takes their own."""
    model, state = system(3, **BACKBONES["egtn"]), trajectories([0, 1, 2])
    one = model.origins(state)["x"]
    given = state.masks["given_frames"].clone()
    given[2] = torch.tensor([1, 0, 1, 0, 1, 0, 0]).bool()
    known = state["x"] * given[:, None, :, None]
    both = State(state.components, {"given_frames": given}, {**state.condition, "given_x": known})
    close(model.origins(both)["x"][:2], one[:2], 1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weighting", ["noise", "balanced"])
def test_losses_do_not_see_where_data_stand(mode: str, weighting: str) -> None:
    given = MODES[mode]
    own = {"path": EDM(0.01, 20.0), "data_std": 0.7} if weighting == "balanced" else {}
    model, state = system(len(given or []), **BACKBONES["egtn"], **own), trajectories(given)
    noise, turn = model.noise(state, Seeded(0)), rotation()
    objective = DenoisingScoreMatching("entry_mean", weighting, data_std=0.7)

    def loss(state: State, noise: Tensor) -> Tensor:
        return objective.losses(model, state, Draws(times(state), {"x": noise}))["x"]

    one, other = loss(state, noise["x"]), loss(moved(state, turn, 5.0), noise["x"] @ turn.T)
    torch.testing.assert_close(other, one, rtol=1e-9, atol=0)
    if given is not None:
        one.backward()
        gradient = model.origin_networks["x"].ws.grad
        assert gradient is not None
        assert gradient.any()


@pytest.mark.parametrize("name", ["ddpm", "dpmpp-2m", "unipc"])
@pytest.mark.parametrize("mode", MODES)
def test_samples_stay_in_their_space(mode: str, name: str) -> None:
    given = MODES[mode]
    own = {"path": EDM(0.01, 20.0), "data_std": 0.7}  # untrained networks without it run away
    model = system(len(given or []), dtype=torch.float32, mild=True, **own, **BACKBONES["egtn"])
    state = trajectories(given, dtype=torch.float32)
    result = sample(model, state, make_solver(name, 8), Seeded(0)).state["x"]
    if given is None:
        assert float(result.mean((1, 2)).abs().max()) < 1e-5
    else:
        assert torch.equal(result[:, :, given], state["x"][:, :, given])


@torch.no_grad()
def test_preconditioned_predictions_move_with_the_data() -> None:
    model = system(3, path=EDM(0.01, 20.0), data_std=0.7, **BACKBONES["egtn"])
    state, turn = trajectories([0, 1, 2]), rotation()
    t = times(state)

    def prediction(state: State) -> Tensor:
        origin = model.origins(state)["x"]
        u = model.components["x"].space.project(state["x"] - origin, state.masks)
        return model.predict(state.replace({"x": u}), t, "data")["x"] + origin

    close(prediction(moved(state, turn, 2.0)), prediction(state) @ turn.T + 2.0, 1e-10)


def test_harmonics_are_those_of_e3nn() -> None:
    directions = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    wanted = library().spherical_harmonics([0, 1, 2], directions, False, "component")
    torch.testing.assert_close(harmonics(directions.T).T, wanted, rtol=0, atol=1e-12)
