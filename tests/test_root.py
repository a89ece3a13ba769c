"""What `import scorefield` offers, and that it costs nothing."""

from __future__ import annotations

import pytest

import scorefield


@pytest.mark.parametrize("name", scorefield.__all__)
def test_every_public_name_is_there(name):
    assert getattr(scorefield, name) is not None
    assert name in dir(scorefield)


def test_public_names_are_the_lazy_ones_and_the_version():
    assert set(scorefield.__all__) == {*scorefield._MODULES, "__version__"}


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = scorefield.lode


def test_import_is_light(python):
    code = "import sys, scorefield; sys.exit(str(sorted({'torch', 'numpy', 'lightning'} & set(sys.modules)) or ''))"
    done = python("-c", code)
    assert done.stderr.strip() == ""
