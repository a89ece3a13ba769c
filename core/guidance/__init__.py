"""Guidance: potentials, and the ways of using one."""

from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.gradient import DPS, Gradient
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.moments import Moments
from scorefield.core.guidance.observations import GaussianObservation, Observation, QuantileObservation
from scorefield.core.guidance.particles import Particles
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.properties import Classifier, Expert, Property, Regressor, Reward
from scorefield.core.guidance.refine import Refine, Refinement, refine
from scorefield.core.guidance.search import RolloverSearch
from scorefield.core.guidance.targets import AFDPS, annealed, classifier_free, product

__all__ = [
    "AFDPS", "DPS", "Classifier", "ClassifierFree", "Expert", "GaussianObservation", "Gradient", "Moments",
    "Observation", "Particles", "Potential", "Property", "QuantileObservation", "Refine", "Refinement", "Regressor",
    "Replacement", "Reward", "RolloverSearch", "annealed", "classifier_free", "product", "refine",
]  # fmt: skip
