"""Configurations by name or file."""

from __future__ import annotations

import pytest

from scorefield.core import configs
from scorefield.core.errors import InputError


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Three packaged configurations, two of one name."""
    found = {}
    for name in ("graphs/qm9_gdss", "graphs/small", "series/small"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("# What it is for.\nseed: 1\n")
        found[name] = path
    monkeypatch.setattr(configs, "packaged_configs", lambda: found)
    return found


@pytest.mark.parametrize("name", ["graphs/qm9_gdss", "qm9_gdss", "graphs/qm9_gdss.yaml"])
def test_packaged_by_name(packaged, name):
    assert configs.resolve_config(name) == packaged["graphs/qm9_gdss"]


def test_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\n")
    assert configs.resolve_config(str(path)) == path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("graphs/qm9_gds", "did you mean 'graphs/qm9_gdss'"),
        ("qm9_gss", "did you mean 'graphs/qm9_gdss'"),
        ("small", "say which: graphs/small, series/small"),
        ("absent.yaml", "absent.yaml: no such file"),
        ("zzz", "known: graphs/qm9_gdss, graphs/small, series/small"),
    ],
)
def test_unknown(packaged, name, expected):
    with pytest.raises(InputError, match=expected):
        configs.resolve_config(name)


def test_summary_is_the_first_comment(packaged):
    assert configs.config_summary(packaged["graphs/small"]) == "What it is for."
