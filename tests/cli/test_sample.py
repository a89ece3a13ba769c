"""`sample` as a user runs it: interrupted, on several processes and nodes, and with bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import scorefield
from scorefield.core.cli.main import main

REQUEST = ("--num", "64", "--chunk-size", "8", "--tile-size", "4", "--device", "cpu")


@pytest.fixture
def sample(toy_run, tmp_path):
    """Run the command in this process; what it prints is left to `capsys`."""

    def run(*words, out="points.txt", request=REQUEST):
        return main(["sample", str(toy_run), "--out", str(tmp_path / out), *request, *map(str, words)])

    return run


@pytest.fixture
def command(toy_package, toy_run, tmp_path, project):
    """The command's words and the environment that a process of its own needs."""
    paths = [str(toy_package), str(project / "tests" / "_ns")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    words = ["-m", "scorefield", "sample", str(toy_run), "--out", str(tmp_path / "points.txt"), *REQUEST]
    return words, environment


def wait_for(found, process, seconds=120):
    for _ in range(seconds * 50):
        if found():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise TimeoutError


def kill_in_the_middle(words, environment, folder):
    """Start the command slowed down, and kill it with all its processes once two chunks are there."""
    slow = {**environment, "TOY_DELAY": "0.02"}
    process = subprocess.Popen([sys.executable, *words], env=slow, start_new_session=True)
    try:
        wait_for(lambda: len(list(folder.glob("[0-9]*.npz"))) >= 2, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 2 <= len(list(folder.glob("[0-9]*.npz"))) < 8


def test_the_file_its_summary_and_the_line(sample, tmp_path, capsys):
    assert sample("--seed", 5, "--steps", 7) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path / 'points.txt'}: 64 samples, 7 network calls each")
    assert printed.err == ""
    summary = json.loads((tmp_path / "points.txt.json").read_text())
    expected = {"num": 64, "solver": "dpmpp-2m", "steps": 7, "evaluations": 7, "seed": 5, "chunk_size": 8, "threads": 1}
    assert {name: summary[name] for name in expected} == expected
    assert summary["seconds"] > 0
    assert len(summary["weights_hash"]) == 64
    assert len((tmp_path / "points.txt").read_text().splitlines()) == 64


def test_python_gives_the_samples_of_the_command(sample, toy_run, tmp_path):
    sample("--seed", 2, "--solver", "pc", "--steps", 30, "--solver-arg", "snr=0.1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        points = scorefield.load(toy_run).sample(
            64, "pc", steps=30, seed=2, chunk_size=8, tile_size=4, device="cpu", snr=0.1
        )
    finally:
        torch.set_num_threads(threads)
    points.save(tmp_path / "python.txt")
    assert (tmp_path / "python.txt").read_bytes() == (tmp_path / "points.txt").read_bytes()


def test_a_killed_command_goes_on_to_the_same_bytes(sample, command, tmp_path, capsys):
    sample(out="whole.txt")
    kill_in_the_middle(*command, tmp_path / "points.txt.parts")
    assert not (tmp_path / "points.txt").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "points.txt.parts").glob("[0-9]*.npz")}
    assert kept
    assert sample() == 0
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()
    assert not (tmp_path / "points.txt.parts").exists()
    capsys.readouterr()
    assert sample() == 0
    assert "already there" in capsys.readouterr().out


def test_two_processes_give_the_bytes_of_one(sample, command, tmp_path):
    sample(out="whole.txt")
    words, environment = command
    done = subprocess.run(
        [sys.executable, *words, "--devices", "2"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.slow
def test_two_killed_processes_go_on_as_three_with_the_console_script(sample, command, tmp_path):
    program = Path(sys.executable).with_name("scorefield")
    if not program.exists():
        pytest.skip("the package is not installed beside this interpreter")
    sample(out="whole.txt")
    words, environment = command
    kill_in_the_middle([*words, "--devices", "2"], environment, tmp_path / "points.txt.parts")
    again = [sys.executable, str(program), *words[2:], "--devices", "3"]
    done = subprocess.run(again, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.slow
def test_more_processes_than_chunks(sample, command, tmp_path):
    few = ("--num", "5", "--chunk-size", "8", "--device", "cpu")
    sample(out="whole.txt", request=few)
    words, environment = command
    words = [*words[: -len(REQUEST)], *few, "--devices", "2"]
    subprocess.run([sys.executable, *words], env=environment, timeout=120, check=True)
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


def test_two_nodes_give_the_bytes_of_one(sample, command, tmp_path):
    sample(out="whole.txt")
    words, environment = command
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    nodes = [
        subprocess.Popen(
            [sys.executable, *launch, "--master-port", str(port), "--node-rank", str(rank), "-m", "--", *words[1:]],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [node.communicate(timeout=120) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert [len(out.splitlines()) for out, _ in said] == [1, 0]
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


BAD_INPUT = {
    "no samples": (("--num", "0"), "--num: 0 is too small; give at least 1"),
    "negative": (("--num", "-3"), "--num: -3"),
    "no number": (("--num", "many"), "argument --num"),
    "unknown solver": (("--solver", "magic"), "unknown solver 'magic'.*ddim"),
    "misspelt solver": (("--solver", "unipcc"), "did you mean 'unipc'"),
    "no steps": (("--steps", "0"), "--steps: 0"),
    "negative steps": (("--steps", "-1"), "--steps: -1"),
    "unknown argument": (("--solver-arg", "ordr=2"), "ordr"),
    "no value": (("--solver-arg", "order"), "--solver-arg order.*NAME=VALUE"),
    "bad value": (("--solver", "unipc", "--solver-arg", "order=two"), "'two' is no int"),
    "no number at all": (("--solver", "pc", "--solver-arg", "snr=nan"), "pc: snr: nan is no finite number"),
    "misspelt predictor": (("--solver", "pc", "--solver-arg", "predictor=eulr"), "did you mean 'euler'"),
    "unknown grid": (("--grid", "cubic"), "cubic"),
    "chunks": (("--chunk-size", "0"), "--chunk-size: 0"),
    "tiles": (("--tile-size", "0"), "--tile-size: 0"),
    "weights": (("--weights", "best"), "argument --weights"),
    "device": (("--device", "tpu"), "unknown device 'tpu'"),
    "devices": (("--devices", "0"), "--devices: 0"),
    "nodes": (("--num-nodes", "0"), "--num-nodes: 0"),
    "threads": (("--threads", "0"), "--threads: 0"),
    "seed": (("--seed", "-1"), "--seed: -1 is too small; give at least 0"),
    "precision": (("--precision", "8-bit"), "unknown precision '8-bit'"),
    "too large": (("--condition", "num_nodes=6"), "num_nodes = 6"),
    "unknown condition": (("--condition", "charge=1"), "unknown condition 'charge'"),
    "misspelt option": (("--sed", "1"), "--seed"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(sample, tmp_path, capsys, case):
    words, expected = BAD_INPUT[case]
    before = sorted(tmp_path.iterdir())
    assert sample(*words) == 2
    assert_one_line(capsys, expected)
    assert sorted(tmp_path.iterdir()) == before


def assert_one_line(capsys, expected):
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError(printed.err)


def test_an_unknown_suffix_names_the_known(sample, tmp_path, capsys):
    assert sample(out="points.xyz") == 2
    assert_one_line(capsys, r"points\.xyz: unknown suffix '\.xyz'; give one of \.txt")


def test_a_folder_that_cannot_be_written_to(sample, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert sample(out="file/points.txt") == 2
    assert_one_line(capsys, "file: is a file, not a folder")


def test_other_settings_are_refused(sample, tmp_path, capsys):
    sample()
    before = (tmp_path / "points.txt").read_bytes()
    capsys.readouterr()
    assert sample("--seed", 1) == 2
    assert_one_line(capsys, "points.txt: is there already.*seed 0 there, 1 asked.*--overwrite")
    assert (tmp_path / "points.txt").read_bytes() == before
    assert sample("--seed", 1, "--overwrite") == 0
    assert (tmp_path / "points.txt").read_bytes() != before


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("spoil", [Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:-20])], ids=["gone", "cut"])
def test_damaged_runs(sample, toy_run, capsys, name, spoil):
    spoil(toy_run / name)
    assert sample() == 2
    assert_one_line(capsys, name)


def test_runs_that_are_not_there(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "nothing"), "--num", "1", "--out", str(tmp_path / "x.txt")]) == 2
    assert_one_line(capsys, "nothing: neither a run folder nor a packaged run")


def test_help_shows_examples(capsys):
    assert main(["sample", "--help"]) == 0
    assert "scorefield sample runs/qm9_gdss/001 --num 10000" in capsys.readouterr().out


def test_a_network_that_returns_nan_is_named_and_leaves_nothing(sample, toy_run, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise FloatingPointError("the network returned NaN or infinity at evaluation 1, t = 1")

    monkeypatch.setattr("scorefield.core.denoiser.Denoiser.check", fail)
    assert sample() == 2
    assert_one_line(capsys, "run: the network returned NaN.*train it on, or try another solver")
    assert not (tmp_path / "points.txt.parts").exists()
    monkeypatch.undo()


@pytest.mark.parametrize("option", ["--steps", "--devices"])
def test_numbers_that_are_too_small_are_said_before_anything_heavy_is_imported(python, tmp_path, option):
    words = ["sample", "nothing", "--num", "1", "--out", str(tmp_path / "x.smi"), option, "0"]
    code = (
        "import sys; from scorefield.core.cli.main import main\n"
        f"code = main({words!r})\n"
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    done = python("-c", code)
    assert done.returncode == 2
    assert f"{option}: 0 is too small" in done.stderr


def test_a_run_that_is_not_there_is_said_before_anything_heavy_is_imported(python, tmp_path):
    code = (
        "import sys; from scorefield.core.cli.main import main\n"
        f"code = main(['sample', 'nothing', '--num', '1', '--out', {str(tmp_path / 'x.smi')!r}])\n"
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    assert python("-c", code).returncode == 2


@pytest.mark.filterwarnings("default")
def test_a_lowered_order_is_said_in_one_line(sample, capsys):
    assert sample("--solver", "unipc", "--steps", 2) == 0
    assert capsys.readouterr().err == "scorefield: warning: 2 steps lower the order of the solver from 3\n"
