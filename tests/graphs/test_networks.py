"""GDSS networks: published tensors and counts, symmetries, padding, derivatives, weight files."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scorefield.core.state import State
from scorefield.domains.graphs.networks import GDSSNetwork, ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH, blocks
from scorefield.domains.graphs.networks.graphs import GraphBatch
from scorefield.domains.graphs.networks.pairs import Pairs
from scorefield.domains.graphs.networks.score import ScoreNetwork

TAGS = ["community_small", "qm9"]
SMALL = {"num_linears": 2, "channels_in": 2, "channels_hidden": 3, "channels_out": 2, "width_attention": 4, "heads": 2}

# data set: features, depth of X, width, layers of A, num_linears, attention width, parameters of X and of A
PUBLISHED = {
    "community_small": (10, 3, 32, 5, 2, 32, 72_434, 134_369),
    "ego_small": (17, 2, 32, 5, 2, 32, 44_093, 135_713),
    "ENZYMES": (10, 5, 32, 7, 2, 32, 182_066, 204_113),
    "grid": (5, 5, 32, 7, 2, 32, 170_081, 203_153),
    "QM9": (4, 2, 16, 3, 3, 16, 8_564, 23_825),
    "ZINC250k": (9, 2, 16, 6, 3, 16, 11_429, 62_873),
}


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    """The transcription with loops that the benchmark measures against."""
    file = Path(__file__).parents[2] / "benchmarks" / "graphs" / "plain.py"
    spec = importlib.util.spec_from_file_location("plain_gdss", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(kind: str, features: int = 3, seed: int = 0) -> ScoreNetwork:
    torch.manual_seed(seed)
    networks: dict[str, Callable[[], ScoreNetwork]] = {
        "x": lambda: ScoreNetworkX(features, 2, 4),
        "gmh": lambda: ScoreNetworkXGMH(features, 3, 4, **SMALL),
        "a": lambda: ScoreNetworkA(features, 3, 4, **SMALL),
    }
    return networks[kind]().double()


def batch(sizes: list[int], nodes: int, features: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy graphs of these sizes at random places of the padded node axis."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(len(sizes), nodes, dtype=torch.bool)
    for row, size in enumerate(sizes):
        mask[row, torch.randperm(nodes, generator=generator)[:size]] = True
    x = torch.randn(len(sizes), nodes, features, generator=generator, dtype=torch.float64)
    adj = torch.randn(len(sizes), nodes, nodes, generator=generator, dtype=torch.float64).triu(1)
    both = mask[:, :, None] & mask[:, None, :]
    return x * mask[:, :, None], (adj + adj.transpose(1, 2)) * both, mask


def state_of(x: Tensor, adj: Tensor, mask: Tensor) -> State:
    return State({"x": x, "adj": adj}, {"mask": mask})


def published(tag: str, folder: Path) -> tuple[ScoreNetworkX, ScoreNetworkA]:
    config = json.loads((folder / f"{tag}.config.json").read_text())
    x, adj = config["params_x"], config["params_adj"]
    network_x = ScoreNetworkX(x["max_feat_num"], x["depth"], x["nhid"])
    network_a = ScoreNetworkA(
        adj["max_feat_num"],
        adj["num_layers"],
        adj["nhid"],
        adj["num_linears"],
        adj["c_init"],
        adj["c_hid"],
        adj["c_final"],
        adj["adim"],
        adj["num_heads"],
    )
    network_x.load_state_dict(load_file(folder / f"{tag}.x.safetensors"))
    network_a.load_state_dict(load_file(folder / f"{tag}.adj.safetensors"))
    return network_x, network_a


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(("dtype", "suffix", "tolerance"), [(torch.float32, "", 1e-5), (torch.float64, "_f64", 1e-9)])
def test_published_outputs(tag: str, dtype: torch.dtype, suffix: str, tolerance: float, shared_dir: Path) -> None:
    folder = shared_dir / "fixtures" / "graphs_gdss"
    stored = np.load(folder / f"{tag}.forward.npz")
    x, adj, mask = (torch.from_numpy(stored[key]).to(dtype) for key in ("x_t", "adj_t", "flags"))
    network_x, network_a = (network.to(dtype) for network in published(tag, folder))
    joint = GDSSNetwork(network_x, network_a).to(dtype)(state_of(x, adj, mask.bool()), stored["t"])
    for name, network in (("x", network_x), ("adj", network_a)):
        wanted = torch.from_numpy(stored[f"net_{name}{suffix}"])
        for found in (network(x, adj, mask), joint[name]):
            assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    features, depth, width, layers, num_linears, attention, count_x, count_a = PUBLISHED[name]
    network_x = ScoreNetworkX(features, depth, width)
    network_a = ScoreNetworkA(features, layers, width, num_linears, width_attention=attention)
    for network, count in ((network_x, count_x), (network_a, count_a)):
        assert sum(parameter.numel() for parameter in network.parameters()) == count
        assert sum(value.numel() for value in network.state_dict().values()) == count


def test_published_parameter_count_of_the_attention_variant() -> None:
    assert sum(p.numel() for p in ScoreNetworkXGMH(9, 2, 16).parameters()) == 22_721


def loops(kind: str, plain: ModuleType, network: nn.Module) -> nn.Module:
    """The plain transcription with the same weights."""
    channels = (2, 3, 2)
    modules = {
        "x": lambda: plain.PlainX(3, 2, 4),
        "gmh": lambda: plain.PlainXGMH(3, 3, 4, 2, channels, 4, heads=2),
        "a": lambda: plain.PlainA(3, 3, 4, 2, channels, 4, heads=2),
    }
    found = modules[kind]().double()
    found.load_state_dict(network.state_dict())
    return found


@pytest.mark.parametrize("kind", ["x", "gmh", "a"])
def test_outputs_and_gradients_equal_those_of_plain_loops(kind: str, plain: ModuleType) -> None:
    network = small(kind)
    reference = loops(kind, plain, network)
    x, adj, mask = batch([6, 3, 5, 1, 0], nodes=6)
    results = []
    for model in (network, reference):
        inputs = (x.clone().requires_grad_(), adj.clone().requires_grad_())
        out = model(*inputs, mask)
        (out * torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)).sum().backward()
        results.append((out, *(value.grad for value in inputs)))
    (out, grad_x, grad_adj), (wanted, wanted_x, wanted_adj) = results
    torch.testing.assert_close(out, wanted, rtol=1e-9, atol=1e-9)
    real = mask[:, :, None]
    torch.testing.assert_close(grad_x, wanted_x * real, rtol=1e-9, atol=1e-9)
    # Seen by symmetric matrices without diagonal, as all noise and data are.
    both = (real & mask[:, None, :]) & ~torch.eye(6, dtype=torch.bool)
    wanted_adj = 0.5 * (wanted_adj + wanted_adj.transpose(1, 2)) * both
    torch.testing.assert_close(0.5 * (grad_adj + grad_adj.transpose(1, 2)), wanted_adj, rtol=1e-9, atol=1e-9)
    assert_equal_weight_gradients(network, reference)


def assert_equal_weight_gradients(network: nn.Module, reference: nn.Module) -> None:
    gradients = copy.deepcopy(network)
    with torch.no_grad():
        for target, source in zip(gradients.parameters(), network.parameters(), strict=True):
            target.copy_(torch.zeros_like(source) if source.grad is None else source.grad)
    found = gradients.state_dict()
    for name, parameter in reference.named_parameters():
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("kind", ["x", "gmh", "a"])
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    network = small(kind)
    x, adj, mask = batch([3, 2], nodes=3)
    weights = [p for p in network.parameters() if p.requires_grad][:2]

    def outputs(x: Tensor, adj: Tensor, *_: Tensor) -> Tensor:
        out: Tensor = network(x, adj, mask)
        return out

    inputs = (x.requires_grad_(), adj.requires_grad_())
    assert torch.autograd.gradcheck(outputs, (*inputs, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, inputs, fast_mode=True)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 2**31))
def test_symmetry_equivariance_and_padding(sizes: list[int], seed: int) -> None:
    x, adj, mask = batch(sizes, nodes=6, seed=seed)
    network_x, network_gmh, network_a = small("x"), small("gmh"), small("a")
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    moved = x[:, order], adj[:, order][:, :, order], mask[:, order]
    wider = nn.functional.pad(x, (0, 0, 0, 7)), nn.functional.pad(adj, (0, 7, 0, 7)), nn.functional.pad(mask, (0, 7))
    with torch.no_grad():
        for network in (network_x, network_gmh):
            out = network(x, adj, mask)
            assert out.masked_select(~mask[:, :, None]).abs().sum() == 0
            torch.testing.assert_close(network(*moved), out[:, order])
            torch.testing.assert_close(network(*wider)[:, :6], out)
        edges = network_a(x, adj, mask)
        both = mask[:, :, None] & mask[:, None, :]
        assert edges.masked_select(~both | torch.eye(6, dtype=torch.bool)).abs().sum() == 0
        assert torch.equal(edges, edges.transpose(1, 2))
        torch.testing.assert_close(network_a(*moved), edges[:, order][:, :, order])
        torch.testing.assert_close(network_a(*wider)[:, :6, :6], edges)


@pytest.mark.parametrize("kind", ["x", "gmh", "a"])
def test_a_graph_does_not_see_the_others_nor_what_stands_in_padding(kind: str) -> None:
    network = small(kind)
    x, adj, mask = batch([5, 2, 4], nodes=5)
    together = network(x, adj, mask)
    for row in range(3):
        alone = network(x[row : row + 1], adj[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])
    both = mask[:, :, None] & mask[:, None, :] & ~torch.eye(5, dtype=torch.bool)
    spoilt = network(x.masked_fill(~mask[:, :, None], 9.0), adj.masked_fill(~both, float("nan")), mask)
    torch.testing.assert_close(spoilt, together)


@pytest.mark.parametrize("sizes", [[0], [1], [0, 0], [1, 0, 1], [2, 0]])
def test_graphs_without_pairs(sizes: list[int]) -> None:
    network = GDSSNetwork(small("gmh"), small("a"))
    x, adj, mask = batch(sizes, nodes=3)
    out = network(state_of(x.requires_grad_(), adj, mask), torch.rand(len(sizes)))
    assert out["x"].isfinite().all()
    assert out["adj"].shape == adj.shape
    assert (out["adj"][~mask] == 0).all()
    (out["x"].sum() + out["adj"].sum()).backward()


@pytest.mark.parametrize("entries", [1, 30, 80, 10_000])
def test_blocks_change_nothing(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", entries)
    network = GDSSNetwork(small("x"), small("a"))
    x, adj, mask = batch([6, 0, 3, 6, 1, 4, 2], nodes=8)
    x.requires_grad_()
    out = network(state_of(x, adj, mask), torch.rand(7))
    torch.testing.assert_close(out["x"], network.x(x, adj, mask))
    torch.testing.assert_close(out["adj"], network.adj(x, adj, mask))
    whole = torch.autograd.grad(network.adj(x, adj, mask).square().sum(), x)
    torch.testing.assert_close(torch.autograd.grad(out["adj"].square().sum(), x), whole)


def test_static_pairs_give_the_same() -> None:
    network = small("a")
    x, adj, mask = batch([4, 2, 0], nodes=4)
    x.requires_grad_()
    results = []
    for static in (False, True):
        graphs = GraphBatch.prepare(x, adj, mask, Pairs.of(mask, static), 2)
        out = network.fold()(graphs)
        trainable = [p for p in network.parameters() if p.requires_grad]
        results.append([out, *torch.autograd.grad(out.square().sum(), [x, *trainable])])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_layout_is_kept_for_the_same_mask_only() -> None:
    network = GDSSNetwork(small("x"), small("a"))
    x, adj, mask = batch([3, 2], nodes=3)
    t = torch.rand(2)
    network(state_of(x, adj, mask), t)
    kept = network._layout
    network(state_of(x + 1, adj, mask), t)
    assert network._layout is kept
    mask[0, 0] = False
    out = network(state_of(x, adj, mask), t)
    assert network._layout is not kept
    assert (out["x"][0, 0] == 0).all()
    assert copy.deepcopy(network)._layout is None
    assert pickle.loads(pickle.dumps(network))._layout is None


def test_a_layout_made_in_inference_mode_serves_training() -> None:
    network = GDSSNetwork(small("x"), small("a"))
    x, adj, mask = batch([3, 2], nodes=3)
    with torch.inference_mode():
        network(state_of(x, adj, mask), torch.rand(2))
    kept = network._layout
    network(state_of(x, adj, mask), torch.rand(2))["adj"].sum().backward()
    assert network._layout is kept


def test_state_dict_round_trip_and_copies(tmp_path: Path) -> None:
    network = small("a")
    stored = network.state_dict()
    assert "layers.1.attn.2.gnn_k.weight" in stored
    save_file(stored, tmp_path / "a.safetensors")
    other = small("a", seed=1)
    other.load_state_dict(load_file(tmp_path / "a.safetensors"))
    inputs = batch([4, 3], nodes=4)
    with torch.no_grad():
        assert torch.equal(other(*inputs), network(*inputs))
        assert torch.equal(copy.deepcopy(network)(*inputs), network(*inputs))
        before = network(*inputs)
        for value in stored.values():
            value.mul_(1.1)
        assert not torch.allclose(network(*inputs), before), "entries of a state dict are the parameters' memory"


def test_loading_is_strict() -> None:
    network = small("a")
    stored = network.state_dict()
    key = "layers.1.attn.2.gnn_k.weight"
    value = stored.pop(key)
    with pytest.raises(RuntimeError, match=f"Missing key.*{key}"):
        network.load_state_dict(stored)
    with pytest.raises(RuntimeError, match=r"size mismatch for layers\.1\.attn\.2\.gnn_k\.weight"):
        network.load_state_dict({**stored, key: value[:1]})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*layers\.1\.attn\.7"):
        network.load_state_dict({**stored, key: value, "layers.1.attn.7.gnn_k.weight": value})


@pytest.mark.parametrize("kind", ["x", "gmh", "a"])
def test_exactly_the_trainable_parameters_receive_gradients(kind: str) -> None:
    network = small(kind)
    network(*batch([4, 3], nodes=4)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_distributed_training_finds_no_unused_parameter(tmp_path: Path) -> None:
    network = GDSSNetwork(small("x"), small("a"))
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(network)
        for _ in range(2):
            out = wrapped(state_of(*batch([4, 3], nodes=4)), torch.rand(2))
            (out["x"].square().sum() + out["adj"].square().sum()).backward()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["x", "gmh", "a"])
def test_bfloat16_autocast(kind: str) -> None:
    network = small(kind).float()
    x, adj, mask = batch([6, 4], nodes=6)
    wanted = network(x.float(), adj.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x.float(), adj.float(), mask)
    out.square().sum().backward()
    assert out.dtype == torch.float32
    assert (out - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [(None, 1e-4), (torch.bfloat16, 0.05)])
def test_a_gpu_agrees_with_the_processor(precision: torch.dtype | None, tolerance: float) -> None:
    network = GDSSNetwork(small("gmh"), small("a")).float()
    x, adj, mask = batch([6, 4, 1, 0], nodes=6)
    state = state_of(x.float(), adj.float(), mask)
    results = []
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(network).to(device)
        with torch.autocast("cuda", precision or torch.bfloat16, enabled=precision is not None):
            out = model(state.to(device), torch.rand(4, device=device))
        (out["x"].square().sum() + out["adj"].square().sum()).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results.append([value.cpu() for value in (out["x"], out["adj"], *gradients)])
    for found, wanted in zip(*results, strict=True):
        assert (found - wanted).abs().max() <= tolerance * max(float(wanted.abs().max()), 1e-3)


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 2 layers"):
        ScoreNetworkA(3, num_layers=1)
    with pytest.raises(ValueError, match="not a multiple of 3 heads"):
        ScoreNetworkA(3, heads=3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler trips over itself
def test_compiled_network_agrees() -> None:
    network = GDSSNetwork(ScoreNetworkX(3, 1, 4), ScoreNetworkA(3, 2, 4, **SMALL))
    x, adj, mask = batch([5, 3, 1], nodes=5)
    state, t = state_of(x.float(), adj.float(), mask), torch.rand(3)
    compiled: Any = torch.compile(network, fullgraph=True)
    gradients = []
    for model in (network, compiled):
        out = model(state, t)
        network.zero_grad()
        (out["x"].square().sum() + out["adj"].square().sum()).backward()
        gradients.append([out["x"], out["adj"], *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
