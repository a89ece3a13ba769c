"""Whether files can be written, found out beforehand."""

from __future__ import annotations

import errno
import tempfile

import pytest

from scorefield.core.errors import InputError
from scorefield.core.files import check_writable


@pytest.mark.parametrize("name", ["a.csv", "new/folder/a.csv"])
def test_nothing_is_left_behind(tmp_path, monkeypatch, name):
    check_writable(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    check_writable(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv", "new/folder/a.csv"])
def test_a_folder_that_only_seems_writable(tmp_path, monkeypatch, name):
    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(InputError, match=f"{tmp_path / name}: cannot be written.*; write to another folder"):
        check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_no_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a folder; name a file"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="file: is a file, not a folder"):
        check_writable(tmp_path / "file" / "new" / "a.csv")
    with pytest.raises(InputError, match="write to another folder"):
        check_writable(tmp_path / ("long" * 80) / "a.csv")
