"""Chunks, shards and assembly, with a generator that counts what it is asked for."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

from scorefield.core.errors import InputError
from scorefield.core.generation import Machine, choose_device, chunk_sizes, generate
from scorefield.core.launching import choose_start
from scorefield.core.progress import SampleBar
from scorefield.core.shards import Shard, Shards


class Counting:
    """Chunk k holds random points from the stream k; fails when it is asked for chunk `broken`."""

    def __init__(self, toy, seed=0, broken=None):
        self.toy, self.seed, self.broken, self.asked, self.threads = toy, seed, broken, [], 0

    def request(self):
        return {"seed": self.seed}

    def facts(self):
        return {"seed": self.seed, "solver": "none", "steps": 0, "weights_hash": ""}

    def samples_type(self):
        return self.toy.Points

    def chunk(self, number, size, device, report=None):
        if number == self.broken:
            raise RuntimeError("power failure")
        self.asked.append(number)
        self.threads = torch.get_num_threads()
        random = np.random.default_rng([self.seed, number])
        if report is not None:
            report(1.0)
        return Shard(self.toy.Points(np.ones(size, int), random.normal(size=(size, 1, 2))), 7.0, 0.5)


@pytest.fixture
def make(toy):
    return lambda **arguments: Counting(toy, **arguments)


def test_chunks_cover_the_request():
    assert chunk_sizes(10, 4) == {0: 4, 1: 4, 2: 2}
    assert chunk_sizes(8, 4) == {0: 4, 1: 4}
    assert chunk_sizes(1) == {0: 1}


@pytest.mark.parametrize(("num", "size"), [(0, 4), (-1, 4), (4, 0)])
def test_nothing_to_generate_is_an_error(num, size):
    with pytest.raises(InputError, match="give at least 1"):
        chunk_sizes(num, size)


def test_a_file_and_its_summary(make, tmp_path):
    file = tmp_path / "new" / "points.txt"
    made = generate(make(), file, 10, 4)
    assert len(file.read_text().splitlines()) == 10
    summary = json.loads((tmp_path / "new" / "points.txt.json").read_text())
    assert made.new
    assert summary == made.summary
    expected = {"num": 10, "seed": 0, "chunk_size": 4, "threads": 1, "evaluations": 7, "seconds": 1.5, "points": 10}
    assert {name: summary[name] for name in expected} == expected
    assert sorted(p.name for p in file.parent.iterdir()) == ["points.txt", "points.txt.json"]


def test_a_failure_before_the_first_chunk_leaves_nothing(make, tmp_path):
    file = tmp_path / "points.txt"
    with pytest.raises(RuntimeError, match="power failure"):
        generate(make(broken=0), file, 10, 4)
    assert not list(tmp_path.iterdir())
    assert generate(make(seed=1), file, 10, 4).new  # the corrected request is not refused


def test_an_interrupted_request_makes_only_what_is_missing(make, tmp_path):
    whole, file = tmp_path / "whole.txt", tmp_path / "points.txt"
    generate(make(), whole, 10, 4)
    with pytest.raises(RuntimeError, match="power failure"):
        generate(make(broken=1), file, 10, 4)
    assert sorted(p.name for p in (tmp_path / "points.txt.parts").iterdir()) == ["000000.npz", "request.json"]
    assert not file.exists()
    again = make()
    summary = generate(again, file, 10, 4).summary
    assert again.asked == [1, 2]
    assert summary["seconds"] == 1.5
    assert file.read_bytes() == whole.read_bytes()


def _cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _other_request(path):
    values = dict(np.load(path))
    np.savez(path, **{**values, "request": np.asarray("other")})


def _short(path):
    values = dict(np.load(path))
    arrays = {k: v[:-1] if k.startswith("samples.") else v for k, v in values.items()}
    np.savez(path, **arrays)


def _lacking(path):
    values = dict(np.load(path))
    np.savez(path, **{k: v for k, v in values.items() if k != "samples.x"})


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flip,
        _other_request,
        _short,
        _lacking,
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"junk" * 99),
    ],
    ids=["cut", "flipped", "other request", "short", "lacking", "empty", "junk"],
)
def test_a_damaged_shard_is_made_again(make, tmp_path, damage):
    whole, file = tmp_path / "whole.txt", tmp_path / "points.txt"
    generate(make(), whole, 10, 4)
    with pytest.raises(RuntimeError):
        generate(make(broken=2), file, 10, 4)
    damage(tmp_path / "points.txt.parts" / "000001.npz")
    again = make()
    generate(again, file, 10, 4)
    assert again.asked == [1, 2]
    assert file.read_bytes() == whole.read_bytes()


def test_what_is_there_already_is_not_made_again(make, tmp_path):
    file = tmp_path / "points.txt"
    first = generate(make(), file, 10, 4)
    again = make()
    second = generate(again, file, 10, 4)
    assert not second.new
    assert second.summary == first.summary
    assert again.asked == []
    generate(again, file, 10, 4, overwrite=True)
    assert again.asked == [0, 1, 2]


def test_other_settings_are_refused_and_named(make, tmp_path):
    file = tmp_path / "points.txt"
    generate(make(), file, 10, 4)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"points\.txt: .*seed 0 there, 1 asked.*--overwrite"):
        generate(make(seed=1), file, 10, 4)
    with pytest.raises(InputError, match="num 10 there, 11 asked"):
        generate(make(), file, 11, 4)
    with pytest.raises(InputError, match="chunk_size 4 there, 5 asked"):
        generate(make(), file, 10, 5)
    assert file.read_bytes() == before
    generate(make(seed=1), file, 10, 4, overwrite=True)
    assert file.read_bytes() != before


def test_an_unfinished_request_with_other_settings_is_refused(make, tmp_path):
    file = tmp_path / "points.txt"
    with pytest.raises(RuntimeError):
        generate(make(broken=1), file, 10, 4)
    with pytest.raises(InputError, match=r"points\.txt\.parts: .*unfinished.*seed 0 there, 1 asked"):
        generate(make(seed=1), file, 10, 4)
    other = make(seed=1)
    generate(other, file, 10, 4, overwrite=True)
    assert other.asked == [0, 1, 2]


def test_a_file_of_unknown_origin_is_refused(make, tmp_path):
    file = tmp_path / "points.txt"
    file.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        generate(make(), file, 10, 4)
    assert file.read_text() == "mine"
    assert list(tmp_path.glob("*.parts")) == []


def test_a_replacement_keeps_the_old_file_until_the_new_one_is_whole(make, tmp_path):
    file = tmp_path / "points.txt"
    generate(make(), file, 10, 4)
    before = file.read_bytes()
    with pytest.raises(RuntimeError):
        generate(make(seed=1, broken=1), file, 10, 4, overwrite=True)
    assert file.read_bytes() == before
    again = make(seed=1)
    generate(again, file, 10, 4)  # goes on without --overwrite: its own shards are there
    assert again.asked == [1, 2]
    assert file.read_bytes() != before


def test_an_interrupted_assembly_is_repeated(make, toy, tmp_path):
    file = tmp_path / "points.txt"
    generate(make(), file, 10, 4)
    summary = tmp_path / "points.txt.json"
    request = json.loads(summary.read_text())["request"]
    whole = file.read_bytes()
    shards = Shards(file, request, toy.Points)
    summary.unlink()
    (tmp_path / "points.txt.parts").mkdir()
    shards.open()
    for number, size in chunk_sizes(10, 4).items():
        shards.write(number, make().chunk(number, size, None))
    again = make()
    generate(again, file, 10, 4)
    assert again.asked == []
    assert summary.exists()
    assert file.read_bytes() == whole
    assert not shards.folder.exists()


def test_places_that_cannot_be_written_are_found_before_the_work(make, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.txt").mkdir()
    generator = make()
    with pytest.raises(InputError, match="not a folder to write to"):
        generate(generator, tmp_path / "file" / "points.txt", 4)
    with pytest.raises(InputError, match="is a folder"):
        generate(generator, tmp_path / "folder.txt", 4, overwrite=True)
    assert generator.asked == []


def test_a_folder_without_permission_is_found_before_the_work(make, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)  # file modes do not bind an administrator
    with pytest.raises(InputError, match="cannot be written"):
        generate(make(), tmp_path / "points.txt", 4)


def test_threads_are_set_during_the_work_only(make, tmp_path):
    before = torch.get_num_threads()
    generator = make()
    summary = generate(generator, tmp_path / "points.txt", 4, machine=Machine(threads=2)).summary
    assert generator.threads == summary["threads"] == 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("numbers", [{"devices": 0}, {"nodes": 0}, {"threads": -1}])
def test_impossible_machines(numbers):
    with pytest.raises(InputError, match="give at least 1"):
        Machine(**numbers)


def test_a_gpu_is_part_of_the_request(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert Machine(device="cuda").hardware() == {"gpu": "H200"}
    assert Machine().hardware() == {}


def test_devices_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match="no GPU"):
        choose_device("cuda")
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == choose_device("gpu") == "cuda"


def test_generation_is_silent(make, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        generate(make(), tmp_path / "points.txt", 4)
    assert capfd.readouterr() == ("", "")


def test_the_bar_shows_samples_on_a_terminal_only(monkeypatch, capsys):
    with SampleBar() as bar:
        bar.start(10)
        bar.within(4)(1.0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with SampleBar() as bar:
        bar.start(10, done=2, processes=2)
        report = bar.within(4)
        report(0.5)
        assert bar._bar.n == 6
        report(1.0)
        assert bar._bar.n == 10
        bar.within(4)(1.0)
        assert bar._bar.n == 10
    assert "samples" in capsys.readouterr().err


def test_a_finished_file_wins_over_leftovers(make, toy, tmp_path):
    file, parts = tmp_path / "points.txt", tmp_path / "points.txt.parts"
    generate(make(), file, 10, 4)
    parts.mkdir()
    (parts / "000000.npz").write_bytes(b"junk")  # a removal that was interrupted, the request gone first
    assert not generate(make(), file, 10, 4).new
    (parts / "request.json").write_text('{"num": 3}')
    assert not generate(make(), file, 10, 4).new
    assert sorted(path.name for path in parts.iterdir()) == ["000000.npz", "request.json"]


def test_an_interrupted_removal_still_says_whose_the_shards_were(make, toy, tmp_path, monkeypatch):
    file = tmp_path / "points.txt"
    with pytest.raises(RuntimeError):
        generate(make(broken=1), file, 10, 4)
    shards = Shards(file, {}, toy.Points)

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shards.discard()
    assert [path.name for path in shards.folder.iterdir()] == ["request.json"]


def test_a_folder_with_nothing_but_a_torn_file_counts_as_empty(make, tmp_path):
    parts = tmp_path / "points.txt.parts"
    parts.mkdir()
    (parts / ".1234abcd.request.json").write_text("{")
    assert generate(make(), tmp_path / "points.txt", 10, 4).new
    assert not parts.exists()


@pytest.fixture
def two_copies(monkeypatch):
    if choose_start("cpu", 1, 1) != "fork":
        pytest.skip("processes are started anew here")
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # Lightning sets them; they go afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return Machine(devices=2)


def test_copies_of_the_process_give_the_same_bytes(make, two_copies, tmp_path, capfd):
    generate(make(), tmp_path / "whole.txt", 10, 4)
    made = generate(make(), tmp_path / "points.txt", 10, 4, two_copies)
    assert made is not None
    assert made.new
    assert (tmp_path / "points.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("broken", [0, 1])
def test_the_failure_of_a_copy_is_told_and_its_work_kept(make, two_copies, tmp_path, capfd, broken):
    file = tmp_path / "points.txt"
    with pytest.raises(RuntimeError, match=r"^power failure$") as caught:
        generate(make(broken=broken), file, 10, 4, two_copies)
    assert "in chunk" in str(caught.value.__cause__)  # where it happened, for --debug
    assert capfd.readouterr() == ("", "")
    assert not file.exists()
    assert generate(make(), file, 10, 4, two_copies) is not None


def test_any_failure_of_the_first_process_reaches_the_others(make, tmp_path, monkeypatch):
    sent = []
    broadcast = "lightning.pytorch.strategies.SingleDeviceStrategy.broadcast"
    monkeypatch.setattr(broadcast, lambda self, value, src=0: sent.append(value) or value)
    monkeypatch.setattr(Shards, "missing", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as caught:
        generate(make(), tmp_path / "points.txt", 10, 4)
    assert "ZeroDivisionError" in sent[-1].text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
