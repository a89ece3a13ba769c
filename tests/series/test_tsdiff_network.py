"""TSDiff's network against tensors of the original code, and what S4 must do for any parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.objectives import DenoisingScoreMatching, Draws
from scorefield.core.paths import DiscreteChain
from scorefield.core.solvers.ancestral import Ancestral
from scorefield.core.solvers.table import Layout
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.series.tsdiff import TSDiff, convolution
from scorefield.domains.series.tsdiff.cauchy import cauchy_sums
from scorefield.domains.series.tsdiff.convolution import both_directions, convolve, toeplitz
from scorefield.domains.series.tsdiff.elementwise import standardised
from scorefield.domains.series.tsdiff.hippo import hippo_legs, legs_matrices
from scorefield.domains.series.tsdiff.importing import used_weights
from scorefield.domains.series.tsdiff.kernels import DiagonalKernel, DPLRKernel
from scorefield.domains.series.tsdiff.network import ResidualBlock, TSDiffNetwork, sinusoids
from scorefield.domains.series.tsdiff.recipe import BETAS
from scorefield.domains.series.tsdiff.s4 import S4, S4Block

S4_FILES = {"s4_layer_f64": (8, 16, 40), "s4_layer": (8, 16, 40), "s4_layer_n128": (4, 128, 360)}


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "fixtures" / "series_tsdiff"


def part(stored: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in stored.items() if name.startswith(prefix)}


def close(found: Tensor, wanted: Tensor, error: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=error)


def small(stored: dict[str, Tensor], prefix: str, skip: bool = True, **sizes: int) -> System:
    """The stored model of 8 channels and two blocks, in double precision."""
    system = TSDiff(width=8, blocks=2, embedding=16, skip=skip).build(sizes).double()
    system.network.load_state_dict(used_weights(part(stored, f"{prefix}backbone."), bool(sizes.get("given"))))
    return system


# Against the original


def test_schedule(folder: Path) -> None:
    stored, path = load_file(folder / "tsdiff_loss.safetensors"), DiscreteChain("linear", 100, BETAS)
    t = torch.arange(1, 101, dtype=torch.float64) / 100
    close(path.betas, stored["betas"], 1e-12)
    close(path.alpha(t).square(), stored["alphas_cumprod"], 1e-12)
    for index in (0, 1, 50, 99):
        times = torch.tensor([(index + 1) / 100, index / 100], dtype=torch.float64)
        (move,) = Ancestral().moves(path, Layout(times, ((float(times[0]),),)))
        assert move.noise**2 == pytest.approx(float(stored["posterior_variance"][index]), abs=1e-12)
        assert index or move.noise == 0


def test_hippo(folder: Path) -> None:
    stored, found = load_file(folder / "hippo_legs.safetensors"), hippo_legs(16)
    w, P, B = (torch.view_as_complex(stored[name].double()).flatten() for name in "wPB")
    order = w.imag.argsort()
    close(found.w, w[order], 1e-5)
    close(found.P.abs(), P[order].abs(), 1e-4)
    close(found.B.abs(), B[order].abs(), 1e-4)
    close(found.P * found.B.conj(), (P * B.conj())[order], 1e-4)


@pytest.mark.parametrize("name", list(S4_FILES))
def test_kernels(folder: Path, name: str) -> None:
    stored, kernel = load_file(folder / f"{name}.safetensors"), DPLRKernel(*S4_FILES[name]).double()
    kernel.load_state_dict(part(stored, "before.kernel.kernel."))
    assert int(kernel.L) == S4_FILES[name][2]
    close(kernel(), stored["kernel_dense64"], 1e-10)
    kernel.load_state_dict(part(stored, "after.kernel.kernel."))
    close(kernel(), stored["kernel_dense64"], 1e-10 if name == "s4_layer_f64" else 2e-5)


def test_layer(folder: Path) -> None:
    stored, layer = load_file(folder / "s4_layer_f64.safetensors"), S4(8, 16, 40).double()
    layer.load_state_dict(part(stored, "after."))
    u = stored["u"].transpose(0, 1)
    close(layer(u).transpose(0, 1), stored["y"], 1e-9)
    close(layer.requires_grad_(False)(u).transpose(0, 1), stored["y"], 1e-9)  # the way of frozen layers


def test_residual_block(folder: Path) -> None:
    stored, block = load_file(folder / "residual_block.safetensors"), ResidualBlock(8, 128, 40, 5).double()
    block.load_state_dict(part(stored, "before."))
    x, features = stored["x"].transpose(0, 1), stored["features"].transpose(0, 1)
    for name, given_features in (("feat", features), ("nofeat", None)):
        rest, skips = block(x, stored["t_emb"], given_features)
        close(rest.transpose(0, 1), stored[f"res_{name}"], 1e-9)
        close(skips.transpose(0, 1), stored[f"skip_{name}"], 1e-9)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["out_skip_nofeat", "out_skip_feat", "out_noskip_nofeat"])
def test_backbone(folder: Path, name: str, when: str) -> None:
    stored, features = load_file(folder / "backbone.safetensors"), "nofeat" not in name
    network = TSDiffNetwork(40, 3, 100, 8, 2, 16, given=5 * features, skip="noskip" not in name).double()
    network.load_state_dict(used_weights(part(stored, f"{when}."), features))
    index = stored["t"].double()
    close(sinusoids(index, 16), stored["step_embedding"], 1e-12)
    close(network.time_init(sinusoids(index, 16)), stored["time_init"], 1e-9)
    condition = {"given": stored["features"]} if features else {}
    found = network(State({"x": stored["x"]}, {}, condition), (index + 1) / 100)["x"]
    close(found, stored[name], 1e-9)
    alone = torch.cat(
        [
            network.estimate(
                stored["x"][i : i + 1], index[i : i + 1], stored["features"][i : i + 1] if features else None
            )
            for i in range(3)
        ]
    )
    close(alone, found, 1e-12)


def test_loss_gradients_and_a_step_of_adam(folder: Path) -> None:
    stored = load_file(folder / "tsdiff_loss.safetensors")
    system = small(stored, "init.", length=60, features=11)
    for name, value in used_weights(part(stored, "sd.backbone."), False).items():
        close(system.network.state_dict()[name].double(), value.double(), 1e-9)  # C as the first forward made it
    state, draws = State({"x": stored["x"]}), Draws((stored["t"].double() + 1) / 100, {"x": stored["noise"]})
    close(system.perturb(state, draws.t, draws.noise)["x"], stored["x_noisy"], 1e-12)
    optimiser = torch.optim.Adam(system.parameters(), lr=1e-3)
    loss = DenoisingScoreMatching().losses(system, state, draws)["x"]
    loss.backward()
    close(loss, stored["loss"], 1e-8)
    gradients = part(stored, "grad.backbone.")
    assert gradients.keys() == dict(system.network.named_parameters()).keys()
    for name, parameter in system.network.named_parameters():
        assert parameter.grad is not None
        close(parameter.grad, gradients[name], 1e-8)
    close(torch.nn.utils.clip_grad_norm_(system.parameters(), 0.5), stored["grad_norm"], 1e-8)
    optimiser.step()
    for name, value in used_weights(part(stored, "sd_after_step.backbone."), False).items():
        close(system.network.state_dict()[name].double(), value.double(), 1e-8)


def test_loss_of_the_conditional_model(folder: Path) -> None:
    stored = load_file(folder / "tsdiff_cond.safetensors")
    system = small(stored, "init.", skip=False, length=60, features=1, given=12)
    state = State({"x": stored["x"]}, {}, {"given": stored["features"]})
    draws = Draws((stored["t"].double() + 1) / 100, {"x": stored["noise"]})
    noised = system.perturb(state, draws.t, draws.noise)
    close(system(noised, draws.t)["x"], stored["pred_noise"], 1e-9)
    close(DenoisingScoreMatching().losses(system, state, draws)["x"], stored["loss"], 1e-9)


# For any parameters


def dense_kernel(kernel: DPLRKernel, C: Tensor) -> Tensor:
    """The recursion with full matrices, from C itself."""
    pairs = [torch.view_as_complex(v.detach().double()) for v in (kernel.B[0], kernel.P[0], C)]
    B, P, C = (torch.cat([v, v.conj()], -1) for v in pairs)
    w = torch.complex(-kernel.inv_w_real.detach().double().exp(), kernel.w_imag.detach().double())
    A = torch.diag_embed(torch.cat([w, w.conj()], -1)) - P[:, :, None] * P.conj()[:, None]
    dt = kernel.log_dt.detach().double().exp()[:, None, None]
    one = torch.eye(A.shape[-1], dtype=A.dtype)
    inverse = torch.linalg.inv(one - 0.5 * dt * A)
    step, state = inverse @ (one + 0.5 * dt * A), (inverse @ (dt * B[..., None]))[..., 0]
    values = []
    for _ in range(kernel.length):
        values.append((C * state).sum(-1).real)
        state = (step @ state[..., None])[..., 0]
    return torch.stack(values, -1)


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(1, 70), st.integers(0, 1000))
def test_kernels_are_those_of_the_recursion(pairs: int, length: int, seed: int) -> None:
    torch.manual_seed(seed)
    kernel = DPLRKernel(3, 2 * pairs, length).double()
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    state = {**kernel.state_dict(), "L": torch.tensor(0)}
    wanted = dense_kernel(kernel, state["C"].clone())
    kernel.load_state_dict(state)
    close(kernel(), wanted, 1e-10)


@settings(max_examples=10)
@given(st.integers(1, 5), st.integers(1, 50), st.integers(0, 1000))
def test_diagonal_kernels_are_those_of_their_recursion(pairs: int, length: int, seed: int) -> None:
    torch.manual_seed(seed)
    kernel = DiagonalKernel(3, 2 * pairs, length).double()
    w = torch.complex(-kernel.inv_w_real.exp(), kernel.w_imag)
    step = (kernel.log_dt.exp()[:, None] * w).exp()
    state, values = (step - 1) / w, []
    for _ in range(length):
        values.append(2 * (torch.view_as_complex(kernel.C) * state).sum(-1).real)
        state = state * step
    close(kernel(), torch.stack(values, -1), 1e-10)


def test_legs_is_diagonal_plus_low_rank() -> None:
    A, B = legs_matrices(12)
    P = (torch.arange(12, dtype=torch.float64) + 0.5).sqrt()
    skew = A + torch.outer(P, P) + 0.5 * torch.eye(12, dtype=torch.float64)
    close(skew, -skew.T, 1e-12)
    found = hippo_legs(12)
    frequencies = torch.linalg.eigvals(skew).imag.sort().values
    close(torch.cat([found.w.imag, -found.w.imag.flip(0)]), frequencies, 1e-9)
    assert float(2 * found.B.abs().square().sum()) == pytest.approx(float(B.square().sum()))
    with pytest.raises(InputError, match="even"):
        hippo_legs(7)


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 1000))
def test_convolutions_are_sums_over_both_directions(length: int, rows: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    u, kernels, skip = (
        torch.randn(s, dtype=torch.float64, generator=draw) for s in ((2, rows, length), (2, 2, length), (2,))
    )
    taps = both_directions(kernels, skip)
    wanted = skip[:, None, None] * u
    for i in range(length):
        for j in range(length):
            weight = kernels[0, :, i - j] if j <= i else kernels[1, :, j - i - 1]
            wanted[..., i] += weight[:, None] * u[..., j]
    close(convolve(u, taps), wanted, 1e-12)
    close(u @ toeplitz(taps), wanted, 1e-12)


def test_long_windows_go_through_fourier_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    u, taps = torch.randn(3, 4, 9, dtype=torch.float64), torch.randn(3, 17, dtype=torch.float64)
    short = convolve(u, taps)
    layer, x = S4(4, 8, 9).double(), torch.randn(4, 2, 9, dtype=torch.float64)
    wanted = layer(x)
    monkeypatch.setattr(convolution, "LONG", 9)
    monkeypatch.setattr("scorefield.domains.series.tsdiff.s4.LONG", 9)
    close(convolve(u, taps), short, 1e-12)
    close(layer(x), wanted, 1e-12)
    close(layer.requires_grad_(False)(x), wanted, 1e-12)


def test_gradients_are_exact() -> None:
    torch.manual_seed(0)
    u, taps = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((2, 3, 5), (2, 9)))
    assert torch.autograd.gradcheck(convolve, (u, taps))
    assert torch.autograd.gradgradcheck(convolve, (u, taps))
    v = torch.randn(2, 3, 4, dtype=torch.complex128, requires_grad=True)
    a = torch.complex(-torch.rand(2, 4).double() - 0.1, torch.randn(2, 4).double()).requires_grad_()
    angles = torch.linspace(0, 1.5, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v, a: cauchy_sums(v, a, angles.sin(), angles.cos()), (v, a))


@pytest.mark.parametrize("cache", [1, 30, 1000])
def test_parts_do_not_change_results_or_gradients(cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs in any order in memory, with windows longer than a part, and parts that do not divide the whole."""
    torch.manual_seed(0)
    x, taps = torch.randn(4, 5, 7, dtype=torch.float64), torch.randn(7, 9, dtype=torch.float64)
    above = torch.randn(7, 4, 5, dtype=torch.float64)
    found = []
    for size in (1 << 17, cache):
        monkeypatch.setattr(convolution, "_CACHE", size)
        monkeypatch.setattr("scorefield.domains.series.tsdiff.elementwise._CACHE", size)
        leaves = x.clone().requires_grad_(), taps.clone().requires_grad_()
        result = convolve(standardised(leaves[0].permute(2, 0, 1), 1e-5), leaves[1])
        found.append((result, *torch.autograd.grad(result, leaves, above)))
    for one, other in zip(*found, strict=True):
        close(other, one, 1e-12)


def test_norms_are_those_of_layer_norm_and_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2, 5, dtype=torch.float64, requires_grad=True)
    wanted = torch.nn.functional.layer_norm(x.movedim(0, -1), (6,), eps=1e-5).movedim(-1, 0)
    close(standardised(x, 1e-5), wanted, 1e-12)
    assert torch.autograd.gradcheck(lambda x: standardised(x, 1e-5), (x,))
    assert torch.autograd.gradgradcheck(lambda x: standardised(x, 1e-5), (x,))
    block = S4Block(6, 8, 5).double()
    with torch.no_grad():
        block.norm.weight.mul_(2).add_(torch.randn(6))
        block.norm.bias.add_(torch.randn(6))
    affine = block.norm.weight[:, None, None] * wanted + block.norm.bias[:, None, None]
    close(block(x), x + block.layer(affine), 1e-12)
    trained = block(x)
    close(block.requires_grad_(False)(x), trained, 1e-12)


def test_the_forward_kernel_is_causal_and_the_pair_is_not() -> None:
    layer, x = S4(4, 8, 12).double(), torch.randn(4, 1, 12, dtype=torch.float64)
    later = x.clone()
    later[..., 7:] += 1
    moved = (layer.convolved(x) - layer.convolved(later)).abs() > 1e-9
    assert bool(moved[..., :7].any())
    with torch.no_grad():
        layer.kernel.kernel.C[1] = 0
    moved = (layer.convolved(x) - layer.convolved(later)).abs() > 1e-9
    assert bool(moved[..., 7:].any())
    assert not bool(moved[..., :7].any())


def test_windows_of_another_length_are_refused() -> None:
    layer, other = S4(4, 8, 12), S4(4, 8, 14)
    with pytest.raises(InputError, match="windows of 14 steps; this model takes 12"):
        layer(torch.zeros(4, 1, 14))
    with pytest.raises(InputError, match="trained on windows of 14 steps, where the model has 12"):
        layer.load_state_dict(other.state_dict())
    network = TSDiffNetwork(12, 2, 10, 4, 1, 8, 8, given=3)
    with pytest.raises(InputError, match="12 steps and 1 channels"):
        network(State({"x": torch.zeros(1, 12, 1)}), torch.ones(1))
    with pytest.raises(InputError, match="no features are given"):
        network(State({"x": torch.zeros(1, 12, 2)}), torch.ones(1))


@pytest.mark.parametrize("kernel", ["dplr", "diag"])
def test_frozen_layers_keep_their_kernel_until_a_parameter_changes(kernel: str) -> None:
    layer = S4(4, 8, 12, kernel)  # type: ignore[arg-type]
    u = torch.randn(4, 3, 12)
    wanted = layer(u)
    layer.requires_grad_(False)
    with torch.inference_mode():
        torch.testing.assert_close(layer(u), wanted)
    kept = layer._kept
    torch.testing.assert_close(layer(u.requires_grad_()), wanted)
    assert layer._kept is kept
    (gradient,) = torch.autograd.grad(layer(u).sum(), u)
    (same,) = torch.autograd.grad(layer.requires_grad_(True)(u).sum(), u)
    torch.testing.assert_close(gradient, same)
    layer.requires_grad_(False)
    changes = [lambda: layer.kernel.kernel.log_dt.add_(0.5), lambda: layer.D.mul_(3), lambda: layer.double()]
    other = S4(4, 8, 12, kernel).state_dict()  # type: ignore[arg-type]
    for change in [*changes, lambda: layer.load_state_dict(other)]:
        layer(u.to(layer.D.dtype))
        change()
        v = u.to(layer.D.dtype)
        torch.testing.assert_close(layer.convolved(v), convolve(v, layer.taps().to(v.dtype)))


@pytest.mark.parametrize("settings", [{}, {"kernel": "diag"}, {"data_std": 1.2}, {"skip": True}])
def test_every_parameter_is_trained(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    system = TSDiff(width=8, blocks=2, embedding=8, states=8, **settings).build({"length": 16, "features": 3})  # type: ignore[arg-type]
    x, noise = torch.randn(5, 16, 3), torch.randn(5, 16, 3)
    draws = Draws(torch.tensor([0.01, 0.2, 0.5, 0.8, 1.0]), {"x": noise})
    DenoisingScoreMatching().losses(system, State({"x": x}), draws)["x"].backward()
    for name, parameter in system.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_mixed_precision() -> None:
    torch.manual_seed(0)
    network = TSDiff(width=16, blocks=2).build({"length": 40, "features": 2}).network
    state, t = State({"x": torch.randn(6, 40, 2)}), torch.rand(6)
    wanted = network(state, t)["x"]
    wanted.square().sum().backward()
    exact = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(state, t)["x"]
    found.float().square().sum().backward()
    found, wanted = found.detach().float(), wanted.detach()
    assert float((found - wanted).norm() / wanted.norm()) < 0.02
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == parameter.dtype == torch.float32
        assert float((parameter.grad - exact[name]).norm() / exact[name].norm()) < 0.2, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"states": 7}, "states is 7"),
        ({"embedding": 2}, "embedding is 2"),
        ({"kernel": "dplrr"}, "dplr"),
        ({"num_steps": 1}, "at least 2"),
        ({"path": DiscreteChain("linear", 50)}, "the path has 50"),
    ],
)
def test_recipes_that_cannot_be(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TSDiff(**arguments)  # type: ignore[arg-type]
