"""What graphs are guided by: counts that agree with the decision, RDKit's properties, and runs that follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import QED, Crippen

import scorefield
from scorefield.core.errors import InputError
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.naming import Asked
from scorefield.core.guidance.potentials import Potential, Weighted
from scorefield.core.guidance.properties import Property
from scorefield.core.state import State
from scorefield.domains.graphs.potentials import POTENTIALS, AtomShare, EdgeCount, soft_decision

TABLES = {"kind": "molecules", "atoms": ["C", "N", "O", "F"]}
SMILES = ("CCO", "C1CC1N", "C=O", "F")


def named(text: str, tables: dict = TABLES) -> Potential:
    asked = Asked.read(text)
    return POTENTIALS[asked.name].make(asked, tables)


def molecules(texts: tuple[str, ...] = SMILES, nodes: int = 5) -> State:
    """Encoded molecules, padded."""
    x, adj = torch.zeros(len(texts), nodes, 4), torch.zeros(len(texts), nodes, nodes)
    mask = torch.zeros(len(texts), nodes, dtype=torch.bool)
    for row, text in enumerate(texts):
        mol = Chem.MolFromSmiles(text)
        Chem.Kekulize(mol)
        for atom in mol.GetAtoms():
            x[row, atom.GetIdx(), TABLES["atoms"].index(atom.GetSymbol())] = 1
            mask[row, atom.GetIdx()] = True
        for bond in mol.GetBonds():
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            adj[row, i, j] = adj[row, j, i] = bond.GetBondTypeAsDouble()
    return State({"x": x, "adj": adj}, {"mask": mask})


def energy(potential: Potential, state: State) -> torch.Tensor:
    return potential.energy(state, state.components, torch.zeros(len(state)))


def test_counts_are_those_of_the_molecules() -> None:
    state = molecules()
    for text, values in {
        "edges=max": [2, 4, 1, 0],
        "degree=max": [4 / 3, 2, 1, 0],
        "atoms.C=max": [2 / 3, 3 / 4, 1 / 2, 0],
        "atoms.N=max": [0, 1 / 4, 0, 0],
        "atoms.F=max": [0, 0, 0, 1],
    }.items():
        torch.testing.assert_close(-energy(named(text), state), torch.tensor(values).float(), atol=0.05, rtol=0)
    torch.testing.assert_close(energy(named("degree=1.5"), state)[1], torch.tensor(0.125), atol=0.01, rtol=0)


@given(st.integers(0, 1000), st.permutations(range(5)))
@settings(max_examples=15)
def test_counts_agree_with_the_decision_and_follow_no_order(seed: int, order: list[int]) -> None:
    """Away from the threshold by five widths the count is the decoder's, to 0.01 an entry."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 5, 4, generator=generator).round() * 1.5 - 0.25
    upper = (torch.rand(2, 5, 5, generator=generator) * 3).round().triu(1)
    state = State({"x": x, "adj": upper + upper.transpose(1, 2)}, {"mask": torch.arange(5) < torch.tensor([[5], [3]])})
    turned = State(
        {"x": x[:, order], "adj": state["adj"][:, order][:, :, order]}, {"mask": state.masks["mask"][:, order]}
    )
    mask = state.masks["mask"]
    pairs = (mask[:, :, None] & mask[:, None, :]).triu(1)
    exact = {
        EdgeCount("max"): ((state["adj"] >= 0.5) & pairs).flatten(1).sum(1),
        AtomShare(1, "max"): ((x[..., 1] > 0.5) & mask).sum(1) / mask.sum(1),
    }
    for potential, count in exact.items():
        torch.testing.assert_close(-energy(potential, state), count.float(), atol=0.1, rtol=0)
        torch.testing.assert_close(energy(potential, turned), energy(potential, state))
    assert soft_decision(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx([0.0067, 0.5, 0.9933], abs=1e-4)


@pytest.mark.parametrize(("name", "compute"), [("qed", QED.qed), ("logp", Crippen.MolLogP)])
def test_properties_are_those_of_rdkit(name: str, compute) -> None:
    state = molecules()
    values = torch.tensor([compute(Chem.MolFromSmiles(text)) for text in SMILES])
    torch.testing.assert_close(energy(named(f"{name}=max"), state), -values)
    torch.testing.assert_close(energy(named(f"{name}=0.5"), state), 0.5 * (values - 0.5) ** 2)
    if name == "qed":
        torch.testing.assert_close(energy(named(name), state), -values)


@pytest.mark.parametrize("name", ["qed", "logp", "sa", "weight", "rings"])
def test_a_molecule_without_atoms_has_a_value_too(name: str) -> None:
    state = molecules(("C",)).map(torch.zeros_like)
    assert float(energy(named(f"{name}=min"), state)) == (10.0 if name == "sa" else 0.0)


def test_entries_say_what_their_potentials_are() -> None:
    for name, entry in POTENTIALS.items():
        detail = ".N" if entry.syntax.startswith(".") else ""
        potential = named(f"{name}{detail}=0.5")
        assert type(potential) is entry.kind
        assert isinstance(potential, Property) is not potential.differentiable
        if entry.syntax.startswith("["):
            named(name)
        else:
            with pytest.raises(InputError, match="has no target"):
                named(name + detail)


@pytest.mark.parametrize(
    ("text", "tables", "message"),
    [
        ("atoms.Xx=0.2", TABLES, "guide atoms: element 'Xx'; write atoms.ELEMENT=SHARE; the run knows C, N, O, F"),
        ("atoms=0.2", TABLES, "guide atoms: no element; write atoms.ELEMENT=SHARE"),
        ("atoms.N=1.2", TABLES, "atoms.N=1.2; a share lies between 0 and 1"),
        ("degree=high", TABLES, "degree=high; give a number, max or min"),
        ("logp", TABLES, "guide logp has no target; write logp=NUMBER, =max or =min"),
        ("qed", {"kind": "graphs"}, "qed is of molecules, this run makes graphs; guide by edges or degree"),
        ("atoms.N=0.1", {}, "atoms is of molecules, this run makes graphs"),
    ],
)
def test_what_cannot_be_is_one_line(text: str, tables: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        named(text, tables)
    assert str(error.value).startswith(message)


# --- a trained run ----------------------------------------------------------------------------------------------------

RUN = {"num": 48, "seed": 0, "chunk_size": 48, "steps": 12}


@pytest.fixture(scope="module")
def model():
    return scorefield.load("molecules_small")


def shares(population, symbol: str) -> float:
    found = [Chem.MolFromSmiles(text) for text in population.parsed]
    return float(np.mean([np.mean([a.GetSymbol() == symbol for a in mol.GetAtoms()]) for mol in found]))


def test_samples_follow_what_they_are_guided_by(model) -> None:
    plain = model.sample(**RUN)
    nitrogen = model.sample(**RUN, guide="atoms.N=0.5:200")
    assert shares(nitrogen, "N") > shares(plain, "N") + 0.08
    both = model.sample(**RUN, guide=["atoms.O=0.5:200", "degree=2.3:50"])
    assert shares(both, "O") > shares(plain, "O") + 0.04
    degree = EdgeCount("min", mean_degree=True)
    bonds, fewer = (energy(degree, _decided(s.state)).mean() for s in (both, plain))
    assert float(bonds) > float(fewer) + 0.05


def _decided(state: State) -> State:
    return state.replace({"adj": (state["adj"] >= 0.5).float()})


def test_guided_runs_repeat_to_the_bit_and_stay_symmetric(model) -> None:
    one, two = (model.sample(**RUN, guide="degree=2.3:50", decode=False) for _ in range(2))
    assert torch.equal(one["adj"], two["adj"])
    assert torch.equal(one["x"], two["x"])
    assert torch.equal(one["adj"], one["adj"].transpose(1, 2))
    outside = ~one.masks["mask"]
    assert (one["x"][outside] == 0).all()
    assert (one["adj"][outside] == 0).all()


def test_a_guided_evaluation_of_the_trained_networks_follows_the_order_of_the_nodes(model) -> None:
    from tests.core.guided_systems import evaluated

    system = model.system(precision="64-true")
    frame = molecules(("CCO", "C1CC1N", "CC"), 7).map(lambda v: v.double() if v.is_floating_point() else v)
    generator = torch.Generator().manual_seed(0)
    noise = {n: 0.5 * torch.randn(v.shape, generator=generator).double() for n, v in frame.components.items()}
    state = frame.replace({
        n: c.space.project(frame[n] + noise[n], frame.masks) for n, c in system.components.items()
    })  # fmt: skip
    order = [3, 0, 6, 1, 5, 2, 4]
    turned = State(
        {"x": state["x"][:, order], "adj": state["adj"][:, order][:, :, order]}, {"mask": state.masks["mask"][:, order]}
    )
    guides = [Gradient([Weighted(EdgeCount(2.0, True), 5.0), AtomShare(1, 0.5)])]
    here, there = evaluated(system, state, guides), evaluated(system, turned, guides)
    torch.testing.assert_close(there["x"], here["x"][:, order], atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(there["adj"], here["adj"][:, order][:, :, order], atol=1e-8, rtol=1e-8)


def test_decoding_agrees_with_the_population(model) -> None:
    """The named property sees what `sample` writes."""
    population = model.sample(24, steps=8)
    values = -energy(named("qed"), population.state)
    expected = [QED.qed(Chem.MolFromSmiles(str(t))) if t else 0.0 for t in population.smiles]
    torch.testing.assert_close(values, torch.tensor(expected), atol=1e-6, rtol=0)
