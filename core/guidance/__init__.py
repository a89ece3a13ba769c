"""Guidance: potentials, and the ways of using one."""

from scorefield.core.guidance.classifier_free import ClassifierFree
from scorefield.core.guidance.gradient import DPS, Gradient
from scorefield.core.guidance.inpainting import Replacement
from scorefield.core.guidance.observations import GaussianObservation, Observation, QuantileObservation
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.properties import Classifier, Expert, Property, Regressor, Reward

__all__ = [
    "DPS", "Classifier", "ClassifierFree", "Expert", "GaussianObservation", "Gradient", "Observation", "Potential",
    "Property", "QuantileObservation", "Regressor", "Replacement", "Reward",
]  # fmt: skip
