"""Configurations as plain trees."""

from __future__ import annotations

import pytest
import yaml

from scorefield.core.configs import packaged_configs
from scorefield.core.errors import InputError
from scorefield.core.experiment import Experiment, build, known_keys, merge, read_experiment

TREE = {
    "model": {"system": {"class_path": "tests.core.tiny_recipe.Tiny"}},
    "data": {"class_path": "scorefield.core.states_data.StatesData"},
}


def with_value(keys, value):
    tree = yaml.safe_load(yaml.safe_dump(TREE))
    node = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {})
    node[keys[-1]] = value
    return tree


def test_defaults_are_filled_in_and_the_result_is_a_fixed_point():
    experiment = Experiment.from_dict(TREE)
    assert experiment.model["lr"] == 1e-3
    assert experiment.model["system"]["init_args"] == {"width": 8, "beta_max": 1.0}
    assert experiment.data["init_args"]["batch_size"] == 256
    assert experiment.trainer["max_epochs"] is None
    assert Experiment.from_dict(yaml.safe_load(experiment.to_yaml())) == experiment


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("modle",), "modle: unknown key; did you mean model"),
        (("model", "lrr"), "model.lrr: unknown key; did you mean model.lr"),
        (("model", "system", "init_args", "widht"), "did you mean model.system.width"),
        (("model", "objective", "class_path"), "is not a path to a class"),
        (("data", "init_args", "batch_sze"), "did you mean data.batch_size"),
        (("data", "initargs"), "did you mean data.init_args"),
        (("trainer", "max_epoch"), "did you mean trainer.max_epochs"),
    ],
)
def test_a_misspelt_key_is_named_with_its_file_and_the_nearest(tmp_path, keys, words):
    with pytest.raises(InputError, match=words) as caught:
        Experiment.from_dict(with_value(keys, "1"), tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"model": TREE["model"]}, "lacks data"),
        ({**TREE, "data": {"init_args": {}}}, "data: lacks class_path"),
        ({**TREE, "data": {"class_path": "scorefield.core.states_data.StateData"}}, "did you mean 'StatesData'"),
        ({**TREE, "data": {"class_path": "no_such_module.Data"}}, "cannot be imported"),
        ({**TREE, "model": {}}, "model: lacks system"),
        ({**TREE, "model": 3}, "not a mapping"),
    ],
)
def test_what_is_missing_is_named(tree, words):
    with pytest.raises(InputError, match=words):
        Experiment.from_dict(tree)


def test_overrides_by_full_or_last_key():
    experiment = Experiment.from_dict(TREE).overridden({"width": 3, "max_epochs": 7, "model.seed": 5})
    assert experiment.model["system"]["init_args"]["width"] == 3
    assert experiment.trainer["max_epochs"] == 7
    assert experiment.model["seed"] == 5
    with pytest.raises(InputError, match=r"say which: model.seed, data.seed"):
        experiment.overridden({"seed": 1})
    with pytest.raises(InputError, match=r"did you mean 'trainer.max_epochs'"):
        experiment.overridden({"max_epoch": 1})


def test_merging_keeps_arguments_of_the_same_class_only():
    base = {"a": {"class_path": "X", "init_args": {"p": 1, "q": 2}}, "b": 1}
    assert merge(base, {"a": {"init_args": {"q": 3}}}) == {
        "a": {"class_path": "X", "init_args": {"p": 1, "q": 3}},
        "b": 1,
    }
    assert merge(base, {"a": {"class_path": "Y"}})["a"] == {"class_path": "Y"}


def test_exponents_without_a_point_are_numbers(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("lr: 1e-3\nname: 1e-3x\n")
    assert read_experiment(file) == {"lr": 1e-3, "name": "1e-3x"}


@pytest.mark.parametrize(("text", "words"), [("a: [1", "line 1"), ("- 1", "not a mapping"), ("\x00", "a.yaml")])
def test_what_is_no_configuration(tmp_path, text, words):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_experiment(file)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_experiment(tmp_path / "none.yaml")


def test_arguments_that_a_class_refuses_name_their_place():
    spec = {"class_path": "scorefield.core.paths.VE", "init_args": {"sigma_min": "a"}}
    with pytest.raises(InputError, match=r"x_path: VE: "):
        build(spec, None, "model.x_path")


def test_arguments_that_a_constructor_refuses_name_file_and_key(tmp_path):
    spec = {"class_path": "scorefield.core.paths.VE", "init_args": {"sigma_max": -1}}
    with pytest.raises(
        InputError, match=r"mine\.yaml: model\.system\.x_path: sigma_min = 0\.\d+, sigma_max = -1; need"
    ):
        build(spec, tmp_path / "mine.yaml", "model.system.x_path")
    data = {"class_path": "scorefield.core.states_data.StatesData", "init_args": {"validation_fraction": 2}}
    with pytest.raises(InputError, match=r"mine\.yaml: data: validation_fraction is 2"):
        build(data, tmp_path / "mine.yaml", "data")


@pytest.mark.parametrize("name", ["width", "channels_out", "num_linears", "heads"])
def test_sizes_of_gdss_are_at_least_one(name):
    spec = {"class_path": "scorefield.domains.graphs.gdss.GDSS", "init_args": {name: 0}}
    with pytest.raises(InputError, match=f"model.system: {name} is 0; give at least 1"):
        build(spec, None, "model.system")


def test_sampler_settings_are_laid_over_the_recipe_s_own():
    gdss = "scorefield.domains.graphs.gdss.GDSS"
    tree = with_value(("model", "system"), {"class_path": gdss, "init_args": {"sampling": {"steps": 7}}})
    experiment = Experiment.from_dict(tree)
    recipe = build(experiment.model["system"])
    assert recipe.sampling.steps == 7
    assert recipe.sampling.solver == "pc"
    with pytest.raises(InputError, match=r"did you mean model.system.sampling.steps"):
        experiment.overridden({"model.system.sampling": {"step": 3}})


@pytest.mark.parametrize("name", sorted(packaged_configs()))
def test_packaged_configurations_are_right_and_short(name):
    file = packaged_configs()[name]
    experiment = Experiment.from_dict(read_experiment(file), file)
    text = file.read_text()
    assert text.startswith("# ")
    assert text.count("\n") <= 60
    sizes = {
        "digraphs": {"nodes": 10, "edges": 20, "max_nodes": 9, "features": 4},
        "graphs": {"features": 4, "max_nodes": 9},
        "series": {"features": 6, "length": 24},
        "geometry": {"nodes": 5, "frames": 30, "space": 3, "features": 1, "edge_features": 1, "given": 10},
    }[name.partition("/")[0]]
    if experiment.data["init_args"].get("conditional"):
        sizes |= {"features": 1, "given": 2, "context": 16, "season": 4}
    build(experiment.system, file).build(sizes)
    build(experiment.module["init_args"].get("objective"), file)
    assert "data.batch_size" in known_keys(experiment.as_dict())
