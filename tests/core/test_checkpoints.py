"""Model files: what is written comes back, and nothing damaged or foreign gets in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from scorefield.core.checkpoints import (
    RECORD_FILE,
    WEIGHTS_FILE,
    ModelRecord,
    instantiate,
    load_record,
    load_system,
    load_weights,
    save_model,
    weights_hash,
)
from scorefield.core.errors import InputError
from scorefield.core.paths import VE, VP

RECORD = ModelRecord("toy", {"class_path": "toy.ToyRecipe", "init_args": {}}, {"max_nodes": 5}, {"largest": 5})


def tensors():
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True), "c": torch.zeros(0, dtype=torch.bfloat16)}


def test_what_is_saved_comes_back(tmp_path):
    ema = {"a": torch.ones(2, 3)}
    written = save_model(tmp_path, replace(RECORD, data={"provenance": {"licence": "CC0"}}), tensors(), ema)
    assert load_record(tmp_path) == written
    raw = load_weights(tmp_path)
    assert raw.keys() == tensors().keys()
    assert all(torch.equal(raw[name], value) and raw[name].dtype == value.dtype for name, value in tensors().items())
    assert torch.equal(load_weights(tmp_path, "ema")["a"], ema["a"])


def test_tied_and_strided_tensors_can_be_saved(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    save_model(tmp_path, RECORD, {"a": shared, "b": shared, "t": shared.T}, None)
    assert torch.equal(load_weights(tmp_path)["t"], shared.T)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    save_model(tmp_path / "1", RECORD, tensors(), None)
    save_model(tmp_path / "2", RECORD, dict(reversed(tensors().items())), None)
    for name in (RECORD_FILE, WEIGHTS_FILE):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        {"x": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.ones(2, 3)},
        {},
    ],
)
def test_the_hash_sees_names_shapes_types_and_values(other):
    assert weights_hash(other) != weights_hash({"a": torch.zeros(2, 3)})


def test_without_averaged_weights_the_error_says_so(tmp_path):
    save_model(tmp_path, RECORD, tensors(), None)
    with pytest.raises(InputError, match=r"model\.safetensors: holds no ema weights"):
        load_weights(tmp_path, "ema")
    with pytest.raises(InputError, match="unknown weights 'best'"):
        load_weights(tmp_path, "best")


def test_a_record_that_is_not_json_able_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="not JSON-able"):
        save_model(tmp_path / "run", replace(RECORD, tables={"x": torch.zeros(1)}), tensors(), None)
    assert not (tmp_path / "run").exists()


def _rewrite(folder, **changes):
    values = json.loads((folder / RECORD_FILE).read_text())
    values = {**values, **changes}
    (folder / RECORD_FILE).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def _flip_last_byte(folder):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


DAMAGES = {
    "no record": (lambda d: (d / RECORD_FILE).unlink(), "cannot be read"),
    "no weights": (lambda d: (d / WEIGHTS_FILE).unlink(), "no such file"),
    "empty weights": (lambda d: (d / WEIGHTS_FILE).write_bytes(b""), "damaged"),
    "cut weights": (lambda d: (d / WEIGHTS_FILE).write_bytes((d / WEIGHTS_FILE).read_bytes()[:-9]), "damaged"),
    "garbage weights": (lambda d: (d / WEIGHTS_FILE).write_bytes(b"\x80\x04 pickle" * 9), "damaged"),
    "flipped bit": (_flip_last_byte, "hash differs"),
    "not json": (lambda d: (d / RECORD_FILE).write_text('{"format": 1,'), "line 1"),
    "not text": (lambda d: (d / RECORD_FILE).write_bytes(b"\xff\xfe"), "not a text file"),
    "not a table": (lambda d: (d / RECORD_FILE).write_text("[1]"), "not a table"),
    "other format": (lambda d: _rewrite(d, format=2), "format: format 2"),
    "missing key": (lambda d: _rewrite(d, sizes=None), "sizes: key is missing"),
    "missing hash": (lambda d: _rewrite(d, weights_hash=None), "weights_hash: key is missing"),
    "wrong type": (lambda d: _rewrite(d, sizes=[9]), "sizes: not a dict"),
    "steps in words": (lambda d: _rewrite(d, sampling={"steps": "ten"}), "sampling.steps: 'ten' is no int"),
    "steps true": (lambda d: _rewrite(d, sampling={"steps": True}), "sampling.steps: True is no int"),
    "arguments listed": (lambda d: _rewrite(d, sampling={"arguments": []}), "sampling.arguments: .* is no dict"),
    "unknown key": (lambda d: _rewrite(d, command="x"), "command: unknown key"),
    "other hash": (lambda d: _rewrite(d, weights_hash="0"), "hash differs"),
    "foreign class": (lambda d: _rewrite(d, system={"class_path": "os.system"}), "os.system is not of scorefield"),
    "no recipe": (lambda d: _rewrite(d, system={"class_path": "scorefield.core.paths.VP"}), "not a recipe"),
    "bad argument": (
        lambda d: _rewrite(d, system={"class_path": "toy.ToyRecipe", "init_args": {"depth": 1}}),
        "toy.ToyRecipe: .*depth.*check init_args",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_one_line_that_names_the_file(toy_run, damage):
    spoil, expected = DAMAGES[damage]
    spoil(toy_run)
    with pytest.raises(InputError, match=expected) as caught:
        load_system(toy_run)
    text = str(caught.value)
    assert "\n" not in text
    assert RECORD_FILE in text or WEIGHTS_FILE in text


def test_weights_of_another_shape_are_refused(toy_run):
    raw = load_weights(toy_run)
    save_model(toy_run, load_record(toy_run), {**raw, "network.mean": torch.zeros(3)}, None)
    with pytest.raises(InputError, match=r"model\.safetensors: .*do not fit the system.*network\.mean"):
        load_system(toy_run)


def test_a_loaded_system_is_frozen_and_has_the_chosen_weights(toy_run):
    raw, ema = load_system(toy_run), load_system(toy_run, "ema")
    assert not raw.training
    assert not any(p.requires_grad for p in raw.parameters())
    assert (ema.network.mean - raw.network.mean).tolist() == [0.25, 0.25]


def test_instantiate_builds_nested_objects():
    spec = {"class_path": "scorefield.core.paths.VP", "init_args": {"beta_max": 5.0}}
    built = instantiate({"paths": [spec, {"class_path": "scorefield.core.paths.VE"}], "n": 1})
    assert isinstance(built["paths"][0], VP)
    assert built["paths"][0].beta_max == 5.0
    assert isinstance(built["paths"][1], VE)
    assert built["n"] == 1


def test_instantiate_takes_classes_of_installed_domains(toy):
    recipe = instantiate(
        {"class_path": "toy.ToyRecipe", "init_args": {"path": {"class_path": "scorefield.core.paths.VE"}}}
    )
    assert isinstance(recipe, toy.ToyRecipe)
    assert isinstance(recipe.path, VE)


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.load",
        "eval",
        "",
        "scorefieldx.core.paths.VP",
        "scorefield.core.checkpoints.Path",  # a class that the module only imports
        "scorefield.core.files.os.system",
        "scorefield.core.files.atomic",  # a function
        "scorefield.core.paths.Nothing",
        "scorefield.nothing.Nothing",
        7,
    ],
)
def test_instantiate_refuses_what_is_no_class_of_ours(path):
    with pytest.raises(InputError, match="class_path"):
        instantiate({"class_path": path, "init_args": {}})


def test_a_reader_between_two_renames_tries_again(toy_run, monkeypatch):
    from scorefield.core import checkpoints

    new, old = checkpoints._read_tensors(toy_run / WEIGHTS_FILE), {"raw.network.mean": torch.zeros(2)}
    answers = [old, new]
    monkeypatch.setattr(checkpoints, "_read_tensors", lambda path: answers.pop(0))
    assert load_weights(toy_run).keys() == {name[4:] for name in new if name.startswith("raw.")}


def test_pickles_are_never_read(toy_run):
    torch.save({"raw.network.mean": torch.zeros(2)}, toy_run / WEIGHTS_FILE)
    with pytest.raises(InputError, match="damaged"):
        load_weights(toy_run)


def test_the_weights_file_is_plain_safetensors(toy_run):
    names = safetensors.torch.load_file(toy_run / WEIGHTS_FILE).keys()
    assert {"raw.network.mean", "ema.network.mean"} <= set(names)
