"""Run folders: allocation, names, and everything that can be wrong with one."""

from __future__ import annotations

import json
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from scorefield.core import runs
from scorefield.core.errors import InputError

MODEL = {
    "format": 1,
    "domain": "graphs",
    "system": {"class_path": "package.Recipe", "init_args": {}},
    "sizes": {"features": 4},
    "tables": {},
    "sampling": {"solver": "pc", "steps": 25},
}


def write_weights(path, values=3):
    header = json.dumps({"raw.w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * values))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A whole run in `runs/small/001` of the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = runs.allocate("small")
    (folder / "model.json").write_text(json.dumps(MODEL))
    write_weights(folder / "model.safetensors")
    return folder


def test_allocate_counts_up(tmp_path):
    assert [runs.allocate("small", tmp_path).name for _ in range(3)] == ["001", "002", "003"]
    (tmp_path / "small" / "041").mkdir()
    (tmp_path / "small" / "notes").mkdir()
    assert runs.allocate("small", tmp_path).name == "042"


def test_allocate_never_gives_one_folder_twice(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: runs.allocate("small", tmp_path), range(64)))
    assert len(set(folders)) == 64


@pytest.mark.parametrize("make", [lambda p: runs.allocate("name", p), lambda p: runs.claim(p / "name")])
def test_a_place_that_cannot_be_written_is_named(tmp_path, make):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="file/name: a run folder cannot be made here"):
        make(file)


def test_claim_takes_new_and_empty_folders_only(tmp_path):
    folder = runs.claim(tmp_path / "a" / "b")
    assert runs.claim(folder) == folder
    (folder / "config.yaml").write_text("")
    with pytest.raises(InputError, match="not empty"):
        runs.claim(folder)


def test_open_run(run):
    opened = runs.open_run(str(run), domain="graphs")
    assert opened.folder == run
    assert opened.model == MODEL
    assert opened.summary() == "graphs, Recipe, pc with 25 steps"


def test_packaged_runs_open():
    for name in runs.packaged_runs():
        assert runs.open_run(name).domain


def test_packaged_name(run, monkeypatch):
    monkeypatch.setattr(runs, "packaged_runs", lambda: {"molecules_small": run})
    assert runs.resolve_run("molecules_small") == run
    with pytest.raises(InputError, match="did you mean 'molecules_small'"):
        runs.resolve_run("molecule_smal")


def test_other_domain(run):
    with pytest.raises(InputError, match="of the domain 'graphs', but 'series' is needed"):
        runs.open_run(run, domain="series")


def test_missing_run_names_the_nearest(run):
    with pytest.raises(InputError, match="did you mean 'runs/small/001'"):
        runs.open_run("runs/smal/001")
    with pytest.raises(InputError, match="list runs"):
        runs.open_run("something_else")


def test_folder_of_runs_names_the_last(run):
    with pytest.raises(InputError, match="none itself; the last is 'runs/small/001'"):
        runs.open_run("runs/small")


def test_file_inside_a_run_names_the_folder(run):
    with pytest.raises(InputError, match="name its folder, 'runs/small/001'"):
        runs.open_run(run / "model.safetensors")


def test_unfinished_run_says_how_to_finish(run):
    (run / "model.json").unlink()
    (run / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"not finished.*fit --resume"):
        runs.open_run(run)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1"),
        ('{"format": 1,\n "domain"', "line 2"),
        ("[]", "not a table of keys"),
        (json.dumps({**MODEL, "format": 2}), "format: format 2 is not known"),
        (json.dumps({k: v for k, v in MODEL.items() if k != "sizes"}), "sizes: key is missing"),
    ],
)
def test_bad_description(run, text, expected):
    (run / "model.json").write_text(text)
    with pytest.raises(InputError, match=f"model.json: {expected}"):
        runs.open_run(run)


@pytest.mark.parametrize("keep", [0, 5, 20, -1])
def test_truncated_weights(run, keep):
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors: (cut short|corrupted)"):
        runs.open_run(run)


def test_corrupted_weight_header(run):
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[10:14] = b"\xff\xfe\xfd\xfc"
    weights.write_bytes(bytes(content))
    with pytest.raises(InputError, match="corrupted"):
        runs.open_run(run)


def test_missing_weights(run):
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read"):
        runs.open_run(run)


@pytest.mark.parametrize("header", ["[]", "3", '{"a": 1}', '{"a": {}}', '{"a": {"data_offsets": [0]}}',
                                    '{"a": {"data_offsets": [0, null]}}', '{"a": {"data_offsets": {}}}'])  # fmt: skip
def test_a_header_that_is_no_table_of_tensors(run, header):
    (run / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(InputError, match=r"model\.safetensors: corrupted: the header is no table"):
        runs.open_run(run)


def test_a_domain_that_is_not_installed_is_named_with_the_file(run):
    (run / "model.json").write_text(json.dumps({**MODEL, "domain": "grafs"}))
    with pytest.raises(InputError, match=r"model\.json: domain: unknown domain 'grafs'; did you mean 'graphs'"):
        runs.open_run(run)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_says_what_to_do(run, name):
    (run / name).unlink()
    with pytest.raises(InputError, match=f"{name}.*copy the run anew"):
        runs.open_run(run)


def test_check_claim_changes_nothing(tmp_path):
    runs.check_claim(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        runs.check_claim(tmp_path)
    with pytest.raises(InputError, match="file: is a file"):
        runs.check_claim(tmp_path / "file")
