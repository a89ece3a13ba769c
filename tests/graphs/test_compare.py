"""The comparison from files, lists and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scorefield.core.cli.main import main
from scorefield.core.comparison import compare, compare_many
from scorefield.core.errors import InputError
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics import STATISTICS

QUICK = Resampling(permutations=19, bootstrap=20, floors=2)
REAL = ["CCO", "CC(=O)N", "c1ccccc1O", "C1CC2CC1O2", "CC#N", "C1CC1C1CC1", "OCC=O", "CCCC", "NC1CCO1", "CC(C)O"]
OTHER = ["CCCCCC", "CCCCC", "FCCF", "CCCO", "C1CCCC1", "CC(C)(C)C"]


@pytest.fixture
def files(tmp_path):
    for name, lines in (("real", REAL), ("train", REAL[:5]), ("a", OTHER), ("b", REAL[3:])):
        (tmp_path / f"{name}.smi").write_text("".join(f"{text} {row}\n" for row, text in enumerate(lines)))
    flags = np.array([True] * 5 + [False])
    Molecules(np.array(OTHER), flags, flags, flags).save(tmp_path / "a.csv")
    return tmp_path


@pytest.fixture(autouse=True)
def without_chemnet(monkeypatch):
    """Loading ChemNet takes seconds; its own tests do."""
    monkeypatch.setattr(
        "scorefield.domains.graphs.statistics.comparing._MISSING", {"fcd": (lambda: False, "not installed")}
    )


def names(comparison):
    return [row.name for row in comparison.rows]


def test_files_and_lists_give_the_same(files):
    by_file = compare(
        str(files / "real.smi"), files / "a.smi", str(files / "train.smi"), resampling=QUICK, figures=False
    )
    by_list = compare(REAL, OTHER, REAL[:5], domain="graphs", resampling=QUICK, figures=False)
    assert by_file.rows == by_list.rows
    assert names(by_file) == [entry.name for entry in STATISTICS]
    assert by_file["novelty"].value == 1
    assert by_file["valid_ref"].value is None
    assert by_file["w1_weight"].low <= by_file["w1_weight"].value <= by_file["w1_weight"].high


def test_samples_name_their_domain(files):
    samples = Molecules.load(files / "a.csv")
    found = compare(Molecules.load(files / "real.smi"), samples, resampling=QUICK, figures=False)
    assert found.domain == "graphs"
    assert found["valid_ref"].value == pytest.approx(5 / 6)


def test_real_features_are_computed_once(files, monkeypatch):
    calls = []
    module = "scorefield.domains.graphs.statistics.population"
    from scorefield.domains.graphs.statistics.nspdk import nspdk_features

    monkeypatch.setattr(f"{module}.nspdk_features", lambda mols, **k: calls.append(len(mols)) or nspdk_features(mols))
    compare_many(files / "real.smi", [files / "a.smi", files / "b.smi"], resampling=QUICK, figures=False)
    assert calls == [10, 6, 7]


def test_command_writes_everything(files, capsys):
    out, report = files / "out" / "c.json", files / "out" / "c.html"
    arguments = ["compare", str(files / "real.smi"), str(files / "a.csv"), "--train", str(files / "train.smi")]
    arguments += ["--json", str(out), "--report", str(report), "--permutations", "19", "--seed", "3"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "nspdk" in printed
    assert "note: fcd: not installed" in printed
    content = json.loads(out.read_text())
    assert content["domain"] == "graphs"
    assert {entry["name"]: entry["value"] for entry in content["statistics"]}["valid_ref"] == pytest.approx(5 / 6)
    assert report.read_text().count("data:image/svg+xml") == 3
    first = out.read_bytes(), report.read_bytes()
    assert main(arguments) == 0
    assert (out.read_bytes(), report.read_bytes()) == first


def test_several_files_give_a_list(files, capsys):
    out, report = files / "c.json", files / "c.html"
    arguments = ["compare", str(files / "real.smi"), str(files / "a.smi"), str(files / "b.smi")]
    assert main([*arguments, "--json", str(out), "--report", str(report), "--permutations", "9"]) == 0
    content = json.loads(out.read_text())
    assert [entry["generated"] for entry in content] == [str(files / "a.smi"), str(files / "b.smi")]
    text = report.read_text()
    assert "a.smi, b.smi" in text
    assert text.count("data:image/svg+xml") == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["real.smi", "missing.smi"], ["missing.smi", "no such file"]),
        (["missing.smi", "a.smi"], ["missing.smi", "no such file"]),
        (["real.smi", "empty.smi"], ["empty.smi", "empty"]),
        (["real.smi", "nonsense.smi"], ["nonsense.smi", "no molecule"]),
        (["real.smi", "a.smi", "--train", "nonsense.smi"], ["nonsense.smi", "no molecule"]),
        (["real.smi", "a.smi", "--domain", "grahps"], ["grahps", "graphs"]),
        (["real.smi", "a.smi", "--permutations", "-1"], ["--permutations", "negative"]),
        (["real.smi", "a.smi", "--permutatons", "9"], ["--permutatons", "--permutations"]),
        (["real.xyz", "a.smi"], ["real.xyz"]),
        (["real.smi"], ["GENERATED"]),
        (["nosuchrun", "a.smi"], ["nosuchrun"]),
        ([".", "a.smi"], ["no model.json"]),
    ],
)
def test_bad_input_is_one_line(files, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(files)
    (files / "empty.smi").write_text("")
    (files / "nonsense.smi").write_text("C1CC\n(((\n")
    (files / "real.xyz").write_text("3\n")
    before = sorted(files.iterdir())
    assert main(["compare", *arguments, "--json", "out.json", "--report", "out.html"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert sorted(files.iterdir()) == before


def test_lists_with_two_domains_need_a_name(monkeypatch):
    from scorefield.core.domains import find_domains

    entry = find_domains()["graphs"]
    monkeypatch.setattr("scorefield.core.comparison.find_domains", lambda: {"graphs": entry, "other": entry})
    with pytest.raises(InputError, match="name one: graphs, other"):
        compare(REAL, OTHER)


def a_run(folder, data, tables=None):
    model = {"format": 1, "domain": "graphs", "system": {}, "sizes": {}, "sampling": {}, "data": data}
    model["tables"] = tables or {}
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(model))


def test_a_run_brings_its_test_split_and_its_training_set(files, capsys):
    many = [f"{'C' * size}{end}" for size in range(2, 12) for end in ("O", "N", "C=O", "F")]
    (files / "many.smi").write_text("\n".join(many))
    options = {"path": str(files / "many.smi"), "cache": False, "test_fraction": 0.25}
    a_run(files / "run", {"class_path": "scorefield.domains.graphs.molecule_data.MoleculeData", "init_args": options})
    found = compare(files / "run", many, resampling=QUICK, figures=False)
    assert found["w1_weight"].n_real == 10
    assert found["novelty"].value == pytest.approx(0.25)
    a_run(files / "bare", None)
    assert main(["compare", str(files / "bare"), str(files / "a.smi")]) == 2
    assert "which data it was trained on" in capsys.readouterr().err
    assert main(["compare", str(files / "run"), str(files / "a.smi"), "--domain", "series"]) == 2
    assert "domain" in capsys.readouterr().err


MOLECULE_DATA = "scorefield.domains.graphs.molecule_data.MoleculeData"


@pytest.fixture
def many(files):
    lines = [f"{'C' * size}{end}" for size in range(2, 12) for end in ("O", "N", "C=O", "F")]
    (files / "many.smi").write_text("\n".join(lines))
    return files


def the_error(capsys, *arguments):
    assert main(["compare", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]  # lines before it tell of the data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "ran"]}}, "is not of scorefield"),
        ({"class_path": "scorefield.core.paths.VP"}, "VP holds no molecules to compare with; give the test file"),
        ({"class_path": "scorefield.core.states_data.StatesData", "init_args": {"path": None}}, "give the test file"),
        (
            {"class_path": MOLECULE_DATA, "init_args": {"path": None}},
            "no file of molecules is named; give the test file",
        ),
        ({"class_path": MOLECULE_DATA, "init_args": {"path": "gone.smi"}}, "gone.smi: there is no such file; give the"),
    ],
)
def test_a_run_whose_data_cannot_be_opened(files, capsys, monkeypatch, data, words):
    monkeypatch.chdir(files)
    a_run(files / "run", data)
    error = the_error(capsys, "run", "a.smi")
    assert words in error
    assert "--data.path" not in error
    assert not (files / "ran").exists()


def test_a_run_finds_its_data_from_another_folder_and_sees_that_they_changed(many, capsys, monkeypatch):
    from scorefield.core.experiment import Experiment
    from scorefield.core.training_files import ModelFiles
    from scorefield.domains.graphs.molecule_data import MoleculeData

    monkeypatch.chdir(many)
    (many / "rows.json").write_text("[0, 3, 5]")
    arguments = {"path": "many.smi", "test_index": "rows.json", "cache": False, "encode_workers": 1}
    module = MoleculeData(**arguments)
    module.setup("fit")
    experiment = Experiment({}, {"class_path": MOLECULE_DATA, "init_args": arguments})
    data = ModelFiles(many, experiment)._data(module)
    assert data["init_args"]["path"] == str(many / "many.smi")
    assert data["init_args"]["test_index"] == str(many / "rows.json")
    a_run(many / "run", data)
    (many / "elsewhere").mkdir()
    monkeypatch.chdir(many / "elsewhere")
    assert compare(many / "run", OTHER, resampling=QUICK, figures=False)["w1_weight"].n_real == 3
    (many / "many.smi").write_text((many / "many.smi").read_text() + "\nCCCC\n")
    assert "the data have changed since training (sha256 was" in the_error(capsys, many / "run", many / "a.smi")


def test_the_test_rows_of_a_run_tell_whether_the_split_changed(many, capsys):
    from scorefield.domains.graphs.molecule_data import MoleculeData

    (many / "rows.json").write_text("[0, 3, 5]")
    arguments = {"path": str(many / "many.smi"), "test_index": str(many / "rows.json"), "cache": False}
    module = MoleculeData(**arguments)
    module.setup("fit")
    data = {"class_path": MOLECULE_DATA, "init_args": arguments, "provenance": module.provenance}
    a_run(many / "run", data)
    a_run(many / "old", data | {"provenance": {n: v for n, v in module.provenance.items() if n != "test_rows"}})
    (many / "rows.json").rename(many / "other.json")
    for run in ("run", "old"):  # the words of the split name another file, the rows are the same
        text = (many / run / "model.json").read_text().replace("rows.json", "other.json", 1)
        (many / run / "model.json").write_text(text)
        assert compare(many / run, OTHER, resampling=QUICK, figures=False)["w1_weight"].n_real == 3
    (many / "other.json").write_text("[0, 3, 6]")
    assert "the data have changed since training (test_rows was" in the_error(capsys, many / "run", many / "a.smi")


def test_a_run_of_generic_graphs_is_refused(files, capsys):
    a_run(files / "run", None, {"kind": "graphs", "node_counts": {"3": 1}})
    assert "compare knows molecules only in this version" in the_error(capsys, files / "run", files / "a.smi")


def test_where_the_package_is_installed_is_not_recorded():
    from scorefield.domains.graphs.data import MoleculesSmallData

    assert MoleculesSmallData().local_files() == {}


def test_counts_of_the_summary_stand_in_for_columns(files):
    from scorefield.domains.graphs.statistics.sources import read_population

    facts = {"num": 8, "molecules": 8, "parsed": 6, "valid_ref": 7, "valid_strict": 5, "valid_connected": 4}
    (files / "a.smi.json").write_text(json.dumps(facts))
    found = compare(files / "real.smi", files / "a.smi", resampling=QUICK, figures=False)
    assert [found[name].value for name in ("valid_ref", "valid_strict", "valid_connected")] == [7 / 8, 5 / 8, 4 / 8]
    assert found["valid_ref"].n_generated == 8
    for other in ({**facts, "parsed": 5}, {**facts, "num": 5}, {**facts, "valid_ref": 9}, {}, []):
        (files / "a.smi.json").write_text(json.dumps(other))
        assert read_population(files / "a.smi").validity("valid_ref") is None


@pytest.mark.parametrize("option", ["--report", "--json"])
def test_places_of_results_are_checked_before_the_work(files, capsys, monkeypatch, option):
    monkeypatch.setattr("scorefield.core.comparison.compare_many", lambda *_, **__: pytest.fail("work was begun"))
    (files / "taken").write_text("")
    pair = (files / "real.smi", files / "a.smi")
    good = {"--report": "--json", "--json": "--report"}[option]
    ending = {"--report": ".htm", "--json": ".json"}
    kept = files / f"good{ending[good]}"
    error = the_error(capsys, *pair, option, files / "taken" / f"out{ending[option]}", good, kept)
    assert "taken: is a file, not a folder" in error
    assert not kept.exists()
    assert "out.csv: --" in the_error(capsys, *pair, option, files / "out.csv", good, kept)


def test_results_never_replace_what_is_read(files, capsys, monkeypatch):
    monkeypatch.setattr("scorefield.core.comparison.compare_many", lambda *_, **__: pytest.fail("work was begun"))
    monkeypatch.chdir(files)
    for name in ("real.json", "a.json", "train.json", "a.smi.json", "report.html"):
        (files / name).write_text("{}")
    (files / "link.json").symlink_to("real.json")
    a_run(files / "run", None)
    before = {path: path.read_bytes() for path in files.rglob("*.*") if path.is_file()}
    for place in ("real.json", f"../{files.name}/a.json", "train.json", "a.smi.json", "link.json", files / "a.json"):
        error = the_error(capsys, "real.json", "a.smi", "a.json", "--train", "train.json", "--json", place)
        assert f"{place}: --json would replace what is compared" in error
    assert "run/model.json: --json would" in the_error(capsys, "run", "a.smi", "--json", "run/model.json")
    assert "report.html: --report would" in the_error(capsys, "a.smi", "report.html", "--report", "report.html")
    assert {path: path.read_bytes() for path in files.rglob("*.*") if path.is_file()} == before
