"""The score networks of GDSS (Jo, Lee, Hwang, ICML 2022), with the published parameter names."""

from scorefield.domains.graphs.networks.joint import GDSSNetwork
from scorefield.domains.graphs.networks.score import ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH

__all__ = ["GDSSNetwork", "ScoreNetworkA", "ScoreNetworkX", "ScoreNetworkXGMH"]
