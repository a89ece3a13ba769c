"""The configurations of trajectories: they build, and the published ones say what was published."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scorefield.core.configs import packaged_configs
from scorefield.core.experiment import Experiment, build, read_experiment
from scorefield.core.interpolants.objectives import InterpolantMatching
from scorefield.core.module import ScoreModule
from scorefield.core.objectives import DenoisingScoreMatching
from scorefield.core.paths import DiscreteChain
from scorefield.domains.geometry.geotdm import GeoTDM, published_sampler
from scorefield.domains.geometry.interpolant import InterpolantGeoTDM

NAMES = sorted(name.removeprefix("geometry/") for name in packaged_configs() if name.startswith("geometry/"))
PARTICLES, SCENES = ("charged", "springs", "gravity"), ("eth", "hotel", "univ", "zara1", "zara2")

SIZES = {"nodes": 5, "frames": 30, "space": 3, "features": 1, "edge_features": 1}


def opened(name: str) -> tuple[ScoreModule, Any, dict[str, Any]]:
    """The module and the data of a packaged configuration, and what it says of the trainer."""
    experiment = Experiment.from_dict(read_experiment(packaged_configs()[f"geometry/{name}"]))
    module = build({"class_path": "scorefield.core.module.ScoreModule", "init_args": experiment.model})
    return module, build(experiment.data), experiment.trainer


def check_published(name: str, reduction: str, recipe: GeoTDM, lr: float, seed: int) -> Any:
    module, data, trainer = opened(name)
    assert isinstance(module.recipe, GeoTDM)
    path = module.recipe.path
    assert isinstance(path, DiscreteChain)
    assert {**vars(module.recipe), "path": None} == {**vars(recipe), "path": None}
    # the last step of the linear schedule, and the first, whatever their number: 20 / T and 0.1 / T
    steps = recipe.num_steps
    alphas = path.alpha(torch.tensor([1, steps - 1, steps], dtype=torch.float64) / steps).square()
    assert float(1 - alphas[0]) == pytest.approx(0.1 / steps)
    assert float(1 - alphas[2] / alphas[1]) == pytest.approx(20 / steps)
    objective = module.objective
    assert isinstance(objective, DenoisingScoreMatching)
    assert (objective.reduction, objective.weighting, objective.times) == (reduction, "noise", "uniform")
    assert (module.optimizer, module.adam["lr"], module.adam["weight_decay"]) == ("adam", lr, 0)
    assert (module.warmup_steps, module.clip, module.ema_decay, module.seed) == (0, 1.0, None, seed)
    return module, data, trainer


@pytest.mark.parametrize("kind", PARTICLES)
@pytest.mark.parametrize("given", [True, False])
def test_published_recipes_of_particles(kind: str, given: bool) -> None:
    recipe = GeoTDM(sampling=published_sampler(1000))
    name = f"{kind}_geotdm{'' if given else '_uncond'}_paper"
    module, data, trainer = check_published(name, "entry_mean", recipe, 1e-4, 1)
    assert (module.lr_schedule, trainer["max_epochs"]) == ("constant", 4000)
    assert (data.system, data.counts["train"], data.counts["validation"], data.counts["test"]) == (
        kind,
        3000,
        256,
        2000,
    )
    assert (data.batch_size, data.simulation_seed, data.frames) == (128, 43, 30 if given else 20)
    assert (data._asked, data.span) == ("0:10", None) if given else (None, 30)


@pytest.mark.parametrize("given", [True, False])
def test_published_recipes_of_molecules(given: bool) -> None:
    recipe = GeoTDM(num_steps=100, sampling=published_sampler(100))
    name = f"md17_aspirin_geotdm{'' if given else '_uncond'}_paper"
    module, data, trainer = check_published(name, "entry_mean", recipe, 1e-4, 100)
    assert (module.lr_schedule, trainer["max_epochs"]) == ("constant", 5000 if given else 8000)
    assert (data.batch_size, data.frames, data._asked) == (128, *((30, "0:10") if given else (20, None)))


@pytest.mark.parametrize("scene", SCENES)
def test_published_recipes_of_pedestrians(scene: str) -> None:
    sizes: dict[str, Any] = {"hidden": 64, "layers": 4, "pre_norm": True, "rescale_timesteps": True, "num_steps": 100}
    recipe = GeoTDM(**sizes, sampling=published_sampler(100))
    module, data, trainer = check_published(f"{scene}_geotdm_paper", "first_mean", recipe, 5e-4, 1)
    assert (module.lr_schedule, trainer["max_epochs"], data.scene, data.batch_size) == ("exponential", 100, scene, 100)
    assert module.lr_gamma**10 == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_configurations_build(name: str) -> None:
    module, _, trainer = opened(name)
    assert trainer["max_epochs"] > 0
    if isinstance(module.recipe, InterpolantGeoTDM):
        assert isinstance(module.objective, InterpolantMatching)
        assert (module.recipe.sampling.solver, module.recipe.sampling.weights) == ("transport", "ema")
        return
    assert isinstance(module.recipe, GeoTDM)
    if not name.endswith("_paper"):
        assert module.recipe.data_std == module.objective.data_std
        assert module.recipe.sampling.steps < 25
        assert (module.lr_schedule, module.recipe.sampling.weights) == ("cosine", "ema")


def test_published_networks_have_the_published_numbers_of_parameters() -> None:
    recipe = opened("charged_geotdm_paper")[0].recipe
    counts = [sum(p.numel() for p in recipe.build(sizes).parameters()) for sizes in ({**SIZES, "given": 10}, SIZES)]
    assert counts == [1_889_828, 1_418_252]
