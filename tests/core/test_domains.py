"""Domains are found without being imported."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from scorefield.core import domains
from scorefield.core.errors import InputError


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A domain of somebody else, whose import would be noticed."""
    (tmp_path / "foreign_domain.py").write_text(
        '"""Foreign things.\n\nMore."""\n\nclass Domain:\n    name = "foreign"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("foreign", "foreign_domain:Domain", domains.GROUP)
    monkeypatch.setattr(domains, "entry_points", lambda group: [point])
    yield
    sys.modules.pop("foreign_domain", None)


def test_description_does_not_import(foreign):
    entry = domains.find_domains()["foreign"]
    assert entry.description() == "Foreign things."
    assert "foreign_domain" not in sys.modules


def test_load(foreign):
    assert domains.load_domain("foreign").name == "foreign"


def test_unknown_domain_names_the_known(foreign):
    with pytest.raises(InputError, match="unknown domain 'foregn'; did you mean 'foreign'"):
        domains.load_domain("foregn")
