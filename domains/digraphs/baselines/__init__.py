"""Other ways to make smaller or larger directed graphs, to compare with."""

from scorefield.domains.digraphs.baselines.registry import BASELINES, Baseline, baseline_table, sample_baseline

__all__ = ["BASELINES", "Baseline", "baseline_table", "sample_baseline"]
