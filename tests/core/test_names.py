"""Unknown names."""

from __future__ import annotations

import pytest

from scorefield.core.names import nearest, unknown


@pytest.mark.parametrize(
    ("name", "expected"),
    [("unpic", "unipc"), ("qm9_gds", "graphs/qm9_gdss"), ("UNIPC", "unipc"), ("zzz", None), ("", None)],
)
def test_nearest(name, expected):
    assert nearest(name, ["ddim", "unipc", "graphs/qm9_gdss"]) == expected


def test_unknown_says_what_is_known():
    error = unknown("solver", "dim", ["ddim", "unipc"], file="a.yaml", place="solver")
    assert str(error) == "a.yaml: solver: unknown solver 'dim'; did you mean 'ddim'? known: ddim, unipc"
    assert str(unknown("run", "x", [])) == "unknown run 'x'; there is none"
