"""The command `fit`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from scorefield.core import domains, experiment
from scorefield.core.cli.main import main
from tests.core.tiny_recipe import tiny_batch

CONFIG = {
    "model": {"system": {"class_path": "tests.core.tiny_recipe.Tiny"}, "lr": 0.01},
    "data": {"class_path": "scorefield.core.states_data.StatesData", "init_args": {"batch_size": 16}},
    "trainer": {"max_epochs": 1, "accelerator": "cpu"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a configuration and states; the recipe's package counts as a domain's."""
    trusted = domains.is_trusted
    monkeypatch.setattr(experiment, "is_trusted", lambda module: module.startswith("tests.") or trusted(module))
    monkeypatch.chdir(tmp_path)
    # The trainer's log handler keeps the standard error of the test that imported it first, which is closed by now.
    monkeypatch.setattr("logging.raiseExceptions", False)
    Path("tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    np.savez("states.npz", **{name: value.numpy() for name, value in tiny_batch(40).items()})
    return tmp_path


def fails(capsys, *arguments: str) -> str:
    assert main(["fit", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not Path("runs").exists()
    return line


def test_fit_and_resume(folder, capsys):
    options = ["--data.path=states.npz", "--model.system.width=4", "--model.objective.reduction=half_sum"]
    assert main(["fit", "--config", "tiny.yaml", *options]) == 0
    captured = capsys.readouterr()
    run = Path("runs/tiny/001")
    assert "runs/tiny/001" in captured.out
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["system"]["init_args"]["width"] == 4
    assert config["model"]["objective"]["init_args"]["reduction"] == "half_sum"
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs=3"]) == 0
    assert len((run / "metrics.csv").read_text().splitlines()) == 4
    assert main(["fit", "--resume", str(run)]) == 2
    assert "finished its 3 epochs" in capsys.readouterr().err
    assert main(["fit", "--config", "tiny.yaml", "--data.path", "states.npz"]) == 0
    assert Path("runs/tiny/002/model.json").is_file()


def test_configurations_are_laid_over_each_other(folder):
    Path("more.yaml").write_text("model: {lr: 0.5}\n")
    arguments = ["--config", "tiny.yaml", "--config", "more.yaml", "--data.path=states.npz", "--out=run"]
    assert main(["fit", *arguments]) == 0
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["model"]["lr"] == 0.5
    assert config["trainer"]["max_epochs"] == 1


def test_states_are_exported(folder, capsys):
    assert main(["fit", "--config=tiny.yaml", "--data.path=states.npz", "--export-states", "out/e.npz"]) == 0
    with np.load("out/e.npz") as stored:
        assert set(stored) >= {"x", "adj", "mask", "is_test", "is_validation", "meta"}
    assert main(["fit", "--config=tiny.yaml", "--data.path=out/e.npz", "--out=run"]) == 0
    assert "name it e.npz" in fails(capsys, "--config=tiny.yaml", "--export-states", "e.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no configuration is named; give --config"),
        (["--config", "none.yaml"], "none.yaml: no such file"),
        (["--config", "qm9_gds"], "did you mean 'graphs/qm9_gdss'"),
        (["--config", "tiny.yaml", "--modl.lr=1"], "unknown option '--modl.lr'; did you mean '--model.lr'"),
        (["--config", "tiny.yaml", "--data.batch_sze=1"], "did you mean '--data.batch_size'"),
        (["--config", "tiny.yaml", "--model.system.widht", "1"], "did you mean '--model.system.width'"),
        (["--config", "tiny.yaml", "--outt=a"], "did you mean '--out'"),
        (["--config", "tiny.yaml", "--model.lr=fast"], "--model.lr: Expected a float"),
        (["--config", "tiny.yaml", "--model.objective.reduction=sum"], "--model.objective.reduction: Expected"),
        (["--confg", "tiny.yaml"], "unknown option '--confg'; did you mean '--config'"),
        (["tiny.yaml"], "unexpected word 'tiny.yaml'; did you mean --config tiny.yaml?"),
        (["--config", "tiny.yaml", "stray"], "unexpected word 'stray'; did you mean --config stray?"),
        (["--config", "tiny.yaml", "--max_epochs=3"], "did you mean '--trainer.max_epochs'"),
        (["--config", "tiny.yaml", "--model.lr=-1"], "model: lr is -1; give more than 0"),
        (["--config", "tiny.yaml", "--model.weight_decay=-1"], "model: weight_decay is -1"),
        (["--config", "tiny.yaml", "--model.clip=0"], "model: clip is 0; give more than 0, or null"),
        (["--config", "tiny.yaml", "--model.ema_decay=1"], "model: ema_decay is 1"),
        (["--config", "tiny.yaml", "--trainer.max_epochs=0"], "trainer.max_epochs: 0 leaves nothing to train"),
        (["--config", "tiny.yaml", "--trainer.max_steps=0"], "trainer.max_steps: 0 leaves nothing to train"),
        (["--config", "tiny.yaml", "--data.path=none.npz", "--out=."], ".: the folder is not empty"),
        (["--config", "tiny.yaml"], "no file of states is named; give one with --data.path"),
        (["--config", "tiny.yaml", "--data.path=none.npz"], "none.npz: no such file"),
        (["--config", "tiny.yaml", "--data.path=tiny.yaml"], "tiny.yaml: not an .npz"),
        (
            ["--config", "tiny.yaml", "--data.path=states.npz", "--data.batch_size=0"],
            "data.batch_size is 0; give at least 1",
        ),
        (["--config", "tiny.yaml", "--data.path=states.npz", "--out=tiny.yaml"], "tiny.yaml: is a file, not a folder"),
        (["--config", "tiny.yaml", "--data.path=states.npz", "--model.per_component={a: {lr: 1}}"], "component 'a'"),
        (["--resume", "none"], "none: no such run folder"),
        (["--resume", ".", "--config", "tiny.yaml"], "--resume takes neither"),
        (["--config"], "expected one argument"),
    ],
)
def test_wrong_usage_is_one_line(folder, capsys, arguments, words):
    assert words in fails(capsys, *arguments)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lr:", "lrr:", "tiny.yaml: model.lrr: unknown key; did you mean model.lr"),
        ("batch_size", "batch_sise", "tiny.yaml: data.batch_sise: unknown key; did you mean data.batch_size"),
        ("max_epochs: 1", "max_epochs: many", "tiny.yaml: trainer.max_epochs: "),
        ("trainer:", "trainer: [", "tiny.yaml: line"),
    ],
)
def test_mistakes_in_the_file_name_the_file_and_the_key(folder, capsys, old, new, words):
    Path("tiny.yaml").write_text(yaml.safe_dump(CONFIG).replace(old, new))
    assert words in fails(capsys, "--config", "tiny.yaml", "--data.path=states.npz")


def test_the_command_s_own_mistakes_are_found_before_anything_heavy_is_imported(python):
    code = (
        "import sys; from scorefield.core.cli.main import main\n"
        "codes = {main(['fit', '--confg', 'x']), main(['fit', 'x.yaml'])}\n"
        "sys.exit(codes != {2} or 'torch' in sys.modules or 'yaml' in sys.modules)"
    )
    assert python("-c", code).returncode == 0


def test_help_lists_every_argument_and_shows_examples(capsys):
    assert main(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--out", "--resume", "--export-states", "--model.lr", "--trainer.max_epochs", "--data"):
        assert option in text
    assert "\n  scorefield fit --config qm9_gdss" in text


def test_a_resumed_run_names_only_classes_of_known_packages(folder, capsys, monkeypatch):
    run = Path("run")
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    tree = {**CONFIG, "model": {"system": {"class_path": "evil.Recipe"}}}
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    Path("evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(folder)
    assert "evil.Recipe is not of scorefield" in fails(capsys, "--resume", "run", "--trainer.max_epochs=3")
