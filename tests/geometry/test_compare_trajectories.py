"""Comparing populations of trajectories."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.core.report.page import report_html
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.geometry.simulators.generators import particle_trajectories
from scorefield.domains.geometry.simulators.particles import Clock, draw_starts, energy, integrate
from scorefield.domains.geometry.simulators.systems import SYSTEMS
from scorefield.domains.geometry.statistics import TrajectoryPopulation, compare_trajectories, statistics_table
from scorefield.domains.geometry.statistics.animation import Side, animation_html, motion_html, write_animation
from scorefield.domains.geometry.statistics.catalogue import CATALOGUE, Work
from scorefield.domains.geometry.statistics.conservation import energies, energy_drift, median_of, momentum_drift
from scorefield.domains.geometry.statistics.internal import InternalCoordinates
from scorefield.domains.geometry.statistics.kinds import kind_of, relations
from scorefield.domains.geometry.statistics.pairing import make_pair
from scorefield.domains.geometry.statistics.sources import read_population, recognises
from scorefield.domains.geometry.statistics.surrogate_scores import SurrogateTraining
from scorefield.domains.geometry.statistics.tica import SlowComponents
from scorefield.domains.geometry.trajectories import Trajectories

rng = np.random.default_rng(0)
QUICK = Resampling(permutations=19, bootstrap=20, floors=2)
CLOCK = Clock(1200, 100, 1e-3)


def simulated(kind: str, number: int = 24) -> Trajectories:
    motion = integrate(SYSTEMS[kind], draw_starts(SYSTEMS[kind], number, 3), CLOCK)
    return particle_trajectories(kind, motion, 0.1)


@pytest.fixture(scope="module")
def springs() -> Trajectories:
    return simulated("springs", 60)


def noisy(trajectories: Trajectories, size: float) -> Trajectories:
    return replace(trajectories, x=trajectories.x + size * rng.normal(size=trajectories.x.shape).astype(np.float32))


def chain(number: int = 30, frames: int = 8) -> Trajectories:
    """Four atoms in a row that shake about a bent chain."""
    rest = np.array([[0.0, 0, 0], [1.5, 0, 0], [1.9, 1.4, 0], [3.3, 1.6, 0.8]])
    x = rest[None, :, None] + 0.05 * rng.normal(size=(number, 4, frames, 3))
    return Trajectories.of(x, dt=5.0, numbers=np.full((number, 4), 6))


@pytest.mark.parametrize("kind", list(SYSTEMS))
def test_kinds_are_told_by_features(kind):
    found = simulated(kind, 6)
    assert kind_of(found) == kind
    couplings = relations(found, kind)
    starts = draw_starts(SYSTEMS[kind], 6, 3)
    np.testing.assert_array_equal(couplings, [start.relations for start in starts])
    assert kind_of(replace(found, edge_features=None)) is None
    assert TrajectoryPopulation(found, "trajectories").kind == kind


@pytest.mark.parametrize("kind", list(SYSTEMS))
def test_energy_and_momentum(kind):
    """Against the simulator's own velocities, half a step apart; particles that come close are left out."""
    motion = integrate(SYSTEMS[kind], draw_starts(SYSTEMS[kind], 24, 3), Clock(300, 10, 1e-3))
    x = motion.x.transpose(0, 2, 1, 3)
    kinetic, potential = energies(x, 0.01, kind, motion.relations)
    exact = energy(SYSTEMS[kind], motion.x, motion.v, motion.relations[:, None])
    calm = ~motion.clipped & (energy_drift(kinetic, potential) < 1e-2)
    assert calm.sum() >= 12
    np.testing.assert_allclose(potential[calm], exact[1][calm, 2:-2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(kinetic[calm], exact[0][calm, 2:-2], rtol=2e-2)
    drift = momentum_drift(x, np.ones(x.shape[:2]))
    assert drift[~motion.clipped].max() < 1e-9
    assert np.median(momentum_drift(x + 0.01 * rng.normal(size=x.shape), np.ones(x.shape[:2]))) > 0.1


def test_median_and_its_interval():
    assert median_of(np.array([np.nan]), 0.95) is None
    assert median_of(np.arange(5.0), 0.95).interval is None
    covered = 0
    for _ in range(200):
        found = median_of(rng.exponential(size=31), 0.95)
        covered += found.interval.low <= np.log(2) <= found.interval.high
    assert covered >= 184


def test_internal_coordinates():
    found = InternalCoordinates.of(np.array([[0, 1], [1, 2], [2, 3], [1, 4]]))
    assert found.angles.tolist() == [[0, 1, 2], [0, 1, 4], [2, 1, 4], [1, 2, 3]]
    assert found.dihedrals.tolist() == [[0, 1, 2, 3], [4, 1, 2, 3]]
    ring = InternalCoordinates.of(np.array([[0, 1], [1, 2], [0, 2]]))
    assert len(ring.angles) == 3
    assert not len(ring.dihedrals)
    x = np.array([[0.0, 1, 0], [0, 0, 0], [2, 0, 0], [2, 0, 1], [0, -1, 0]])[None, :, None]
    np.testing.assert_allclose(found.lengths(x).ravel(), [1, 2, 1, 1])
    np.testing.assert_allclose(found.bends(x).ravel(), [90, 180, 90, 90])
    np.testing.assert_allclose(found.torsions(x).ravel(), [90, -90])
    np.testing.assert_allclose(found.torsions(x * [1, 1, -1]).ravel(), [-90, 90])  # its mirror image


def test_slow_components():
    """Of three angles one turns slowly: the first component follows it."""
    slow = np.cumsum(0.1 * rng.normal(size=(40, 200)), axis=1)
    torsions = np.degrees(
        np.stack([rng.uniform(-1, 1, slow.shape), 0.3 * np.sin(slow), rng.uniform(-1, 1, slow.shape)], 1)
    )
    found = SlowComponents.of(torsions, lag=5).project(torsions)
    assert abs(np.corrcoef(found[:, 0].ravel(), torsions[:, 1].ravel())[0, 1]) > 0.95
    np.testing.assert_allclose(found.std((0, 2)), 1, rtol=1e-6)


def test_real_against_real(shared_dir):
    with np.load(shared_dir / "fixtures/geometry_geotdm/metrics.npz") as stored:
        real, fake = (stored[name].transpose(0, 1, 3, 2) for name in ("real", "fake"))
        wanted = float(stored["marginal_all_frames"])
    only = ["marginal", "marginal_as_given"]
    same = compare_trajectories(real, real, only=only, resampling=QUICK, figures=False)
    other = compare_trajectories(real, fake, only=only, resampling=QUICK, figures=False)
    assert same["marginal"].value < 1e-3
    assert other["marginal_as_given"].value == pytest.approx(wanted, abs=1e-6)


def test_noise_is_seen(springs):
    real, generated = springs[:30], springs[30:]
    calm, shaken = (
        compare_trajectories(real, part, resampling=QUICK, figures=False)
        for part in (generated, noisy(generated, 0.03))
    )
    assert [row.name for row in calm.rows] == [row.name for row in shaken.rows]
    for name in ("w1_speed", "w1_acceleration", "velocity_spectrum", "acceleration_spectrum"):
        assert shaken[name].p_value == pytest.approx(0.05)
        assert shaken[name].low > shaken[name].floor
        assert calm[name].value < shaken[name].low
    assert calm["energy_drift"].value < 1e-4 < 0.1 < shaken["energy_drift"].low
    assert calm["momentum_drift"].floor < 1e-5 < 0.1 < shaken["momentum_drift"].value
    for row in calm.rows:
        assert row.low <= row.value <= row.high
        assert row.floor is not None
        assert row.n_generated == 30
    assert calm.facts["kind"] == "springs"


def test_what_does_not_turn_with_the_frame_of_reference(springs):
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = replace(springs[30:], x=(springs[30:].x @ turn + 7).astype(np.float32))
    only = ["w1_pair_distance", "w1_speed", "acceleration_spectrum", "w1_energy", "energy_drift"]
    first, second = (
        compare_trajectories(springs[:30], part, only=only, resampling=Resampling(0, 0, 0), figures=False)
        for part in (springs[30:], turned)
    )
    for name in only[:-1]:
        assert second[name].value == pytest.approx(first[name].value, rel=2e-3)
    moved = replace(springs[30:], x=springs[30:].x + np.float32(5))
    centred = [
        compare_trajectories(springs[:30], part, only=["marginal"], resampling=Resampling(0, 0, 0), figures=False)
        for part in (springs[30:], moved)
    ]
    assert centred[1]["marginal"].value == pytest.approx(centred[0]["marginal"].value, abs=5e-3)


def test_molecules():
    real, same, other = chain(), chain(), noisy(chain(), 0.1)
    good, bad = (compare_trajectories(real, part, resampling=QUICK, figures=False) for part in (same, other))
    for name in ("marginal_bonds", "w1_bonds", "w1_angles", "js_dihedrals", "js_slow"):
        assert good[name].value < bad[name].value
    assert good["w1_bonds"].value < 0.01 < bad["w1_bonds"].value
    assert good.facts["molecule"] == "3 bonds, 2 angles, 1 dihedrals"
    told = TrajectoryPopulation(real, bonds=[(0, 1), (1, 2)])
    assert "2 bonds" in compare_trajectories(told, same, only=["w1_bonds"], figures=False).facts["molecule"]


def test_networks_are_repeated_and_have_a_floor(springs):
    pair = make_pair(TrajectoryPopulation(springs[:30]), TrajectoryPopulation(noisy(springs[30:], 0.05)))
    work = Work(pair, QUICK, training=SurrogateTraining(epochs=2))
    entries = {entry.name: entry for entry in CATALOGUE}
    for name in ("classification", "prediction"):
        row = entries[name].row(work)
        assert row.low < row.value < row.high
        assert row.floor > 0
        assert "standard deviation" in row.note
        assert row == entries[name].row(work)
    assert row.n_real == row.n_generated == 30


def test_nodes_and_frames_that_do_not_exist(springs):
    """Padding changes nothing, whatever stands in it."""
    mask = np.ones((30, 7), dtype=bool)
    mask[:, 5:] = False
    x = np.full((30, 7, 14, 3), 9.0, dtype=np.float32)
    part = springs[30:]
    x[:, :5, :11] = part.x
    frames = np.arange(14) < 11
    wide = replace(
        part,
        x=x,
        mask=mask,
        features=np.pad(part.features, ((0, 0), (0, 2), (0, 0))),
        frame_mask=np.tile(frames, (30, 1)),
    )
    first, second = (
        compare_trajectories(springs[:30], other, resampling=Resampling(0, 0, 0), figures=False)
        for other in (part, wide)
    )
    assert len(first.rows) == len(second.rows) > 8
    for row, same in zip(first.rows, second.rows, strict=True):
        assert same.value == pytest.approx(row.value, rel=1e-5), row.name


def test_pedestrians_of_different_numbers():
    mask = np.arange(3) < rng.integers(1, 4, 40)[:, None]
    walk = np.cumsum(0.4 + 0.1 * rng.normal(size=(40, 3, 12, 2)), axis=2)
    found = compare_trajectories(
        Trajectories(walk[:20], mask[:20], dt=0.4), Trajectories(walk[20:], mask[20:], dt=0.4), resampling=QUICK
    )
    assert {"marginal", "w1_pair_distance", "velocity_spectrum"} <= {row.name for row in found.rows}
    assert "energy_drift" not in {row.name for row in found.rows}
    assert len(found.figures) == 3


def test_the_report(springs, tmp_path):
    found = compare_trajectories(springs[:30], springs[30:].frames(0, 8), resampling=QUICK, names=("a.npz", "b.npz"))
    assert "a.npz: the first 8 of up to 11 frames are compared" in found.notes
    found.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.b.animation.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "@" not in re.sub(r"@media", "", page)
    assert "marginal" in report_html([found])
    assert [figure.title.split()[0] for figure in found.figures] == ["Trajectories", "Distributions", "Mean", "Energy"]


def test_a_report_of_several_that_have_not_the_same_statistics(springs):
    """Without edges there are no energies: what stands beneath them must not move up."""
    settings = {"resampling": Resampling(0, 0, 0), "figures": False}
    whole, bare = (compare_trajectories(springs[:30], part, **settings) for part in (springs[30:], springs[30:].x))
    names = [row.name for row in whole.rows]
    assert [name for name in names if name not in ("energy_drift", "w1_energy")] == [row.name for row in bare.rows]
    for pair in ([whole, bare], [bare, whole]):
        page = report_html(pair)
        for name in names:
            line = page[page.index(f"<b>{name}</b>") :].split("</tr>")[0]
            cells = re.findall(r'<td class="value first">(.*?)</td>', line)
            assert (cells[pair.index(bare)] == "–") == (name in ("energy_drift", "w1_energy"))
            assert cells[pair.index(whole)] != "–"


def test_the_same_again(springs):
    first, again, other = (
        compare_trajectories(springs[:30], springs[30:], resampling=QUICK, figures=False, seed=seed).as_json()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_arrays_take_the_time_of_what_they_are_compared_with(springs):
    settings = {"resampling": Resampling(0, 0, 0), "figures": False, "only": ["w1_speed"]}
    wanted = compare_trajectories(springs[:30], springs[30:], **settings)["w1_speed"].value
    for pair in ((springs[:30], springs[30:].x), (springs[:30].x, springs[30:])):
        assert compare_trajectories(*pair, **settings)["w1_speed"].value == wanted


def test_the_animation_holds_the_positions(springs):
    pair = make_pair(TrajectoryPopulation(springs[:30]), TrajectoryPopulation(springs[30:]))
    page = animation_html(pair.real, pair.generated, names=("</script>", "b"))
    scene = json.loads(re.search(r"const scene = (.*);\n", page).group(1))
    assert scene["sides"][0]["name"] == "real: script>"
    assert len(scene["sides"][1]["x"]) == scene["number"] == 12
    shown = np.array(scene["sides"][0]["x"])
    assert min(np.abs(shown[0] - x).max() for x in pair.real.x) < 1e-3
    assert page.count("</script>") == 1


def test_an_animation_of_forecasts(tmp_path):
    x = rng.normal(size=(2, 6, 2))
    page = motion_html([Side("truth", [x], [[]]), Side("forecast", [x, x + 1], [[], []])], "a < b", given=[0, 1])
    assert "a &lt; b" in page
    assert '"given":[0,1]' in page
    assert "Drag" not in page
    write_animation(page, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    with pytest.raises(ValueError, match="as many frames"):
        motion_html([Side("truth", [x, x[:, :3]], [[], []])], "title")


def test_files(springs, tmp_path):
    springs.save(tmp_path / "a.npz")
    np.savez(tmp_path / "series.npz", x=np.zeros((4, 5, 2)))
    assert recognises(tmp_path / "a.npz")
    assert recognises(tmp_path / "b.xyz")
    assert not recognises(tmp_path / "series.npz")
    assert not recognises(tmp_path / "none.npz")
    found = read_population(tmp_path / "a.npz")
    assert len(found) == 60
    assert found.kind == "springs"


def test_every_statistic_is_told():
    table = dict(statistics_table())
    assert list(table) == [entry.name for entry in CATALOGUE]
    assert table["classification"].endswith("(only if asked for)")


def test_odd_input(springs):
    real, x = springs[:30], springs.x
    broken = x.copy()
    broken[3, 1, 2] = np.nan
    flat = x.copy()
    flat[..., 2] = 0
    ragged = replace(real, frame_mask=np.arange(11)[None].repeat(30, 0) != 4)
    cases = [
        (real, broken, {}, "trajectory 3, node 1, frame 2"),
        (real, x[..., :2], {}, "in 2 dimensions, 3 in real"),
        (real, replace(springs, dt=0.2), {}, "frames 0.2 apart, 0.1 in real"),
        (real, x[:1], {}, "1 trajectories of 11 frames"),
        (real, "words", {}, "no trajectories"),
        (real, ragged, {}, "missing frame before others"),
        (real, springs, {"only": ["marginl"]}, "did you mean 'marginal'"),
        (real, springs, {"only": ["w1_bonds"]}, "w1_bonds needs one molecule"),
        (flat, springs, {"only": ["marginal"]}, "all the same"),
        (chain(), replace(chain(), numbers=np.full((30, 4), 7)), {}, "another molecule"),
    ]
    for one, other, options, message in cases:
        with pytest.raises(InputError, match=re.escape(message)):
            compare_trajectories(one, other, figures=False, resampling=QUICK, **options)


def test_what_does_not_apply_is_left_out_and_said(springs):
    flat = springs.x[:, :, :3].copy()
    flat[..., 2] = 0
    found = compare_trajectories(flat[:30], flat[30:], resampling=QUICK, figures=False)
    said = " ".join(found.notes)
    assert "marginal, marginal_tv, marginal_as_given: not computed, needs real values that differ" in said
    assert {row.name for row in found.rows} >= {"w1_pair_distance", "velocity_spectrum"}
    in_nanometres = replace(chain(), x=chain().x / 10)
    told = compare_trajectories(in_nanometres, in_nanometres, resampling=QUICK, figures=False)
    assert "w1_bonds" in {row.name for row in told.rows}  # four atoms may all be bonded
