"""What is installed: the list of packages, the wheel's inside, pins, and the program from another folder."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import scorefield
from scorefield.core.configs import packaged_configs

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "domains", "configs", "data")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def source_files() -> list[str]:
    """Files that a clean copy of the project has: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        every = (path for name in FOLDERS for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts)
        return [str(p.relative_to(ROOT)) for p in every if p.is_file()] + [
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ]
    return [name for name in listed.stdout.decode().split("\0")[:-1] if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the source archive, and the wheel built from that."""
    folder = tmp_path_factory.mktemp("build")
    for name in source_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "source"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


def expected_files() -> set[str]:
    """Where every source file under the installed folders has to be inside the wheel."""
    inside = set()
    for name in source_files():
        if name.split("/")[0] in FOLDERS:
            inside.add(f"scorefield/{name.removeprefix('core/_root/')}")
    return inside


def test_packages_are_the_folders():
    found = {"scorefield"}
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join(["scorefield", *init.parent.relative_to(ROOT).parts]))
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found - {"scorefield.core._root"})


def test_every_folder_of_modules_is_a_package():
    modules = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert not {path.parent for path in modules if not (path.parent / "__init__.py").exists()}


def test_wheel_holds_every_source_file_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected_files()


def test_source_archive_holds_every_source_file(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    wanted = {name for name in source_files() if name.split("/")[0] in FOLDERS}
    assert wanted | {"pyproject.toml", "README.md", "LICENSE"} <= names


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; it sees the outer packages but not an outer editable install.

    A line in a `.pth` file adds the outer folder to the path without running the `.pth` files in it.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "outer.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return folder


def run_installed(installed: Path, folder: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installed_program_runs_from_another_folder(installed, tmp_path):
    program = str(installed / "bin" / "scorefield")
    assert run_installed(installed, tmp_path, program, "--version") == f"scorefield {scorefield.__version__}\n"
    listed = run_installed(installed, tmp_path, program, "list", "configs")
    assert all(name in listed for name in packaged_configs())
    assert "graphs" in run_installed(installed, tmp_path, program, "list", "domains")
    assert run_installed(installed, tmp_path, program, "--help").count("\n") > 5


def test_installed_package_is_the_wheel_not_the_source(installed, tmp_path):
    code = "import scorefield.domains.graphs as g; print(g.__file__)"
    file = Path(run_installed(installed, tmp_path, str(installed / "bin" / "python"), "-c", code).strip())
    assert file.is_relative_to(installed)


def test_citation_states_this_version():
    assert f"version: {scorefield.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements(*extras: str) -> list[Requirement]:
    """What a plain install needs, and what these extras add."""
    optional = PROJECT["project"]["optional-dependencies"]
    every = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [wanted for wanted in map(Requirement, every) if wanted.name != "scorefield"]


@pytest.mark.parametrize("wanted", requirements(*PROJECT["project"]["optional-dependencies"]), ids=str)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(wanted):
    assert wanted.specifier.contains(pins()[canonicalize_name(wanted.name)])


def test_every_imported_package_is_required():
    """A plain install has what the code imports, save what an extra of the user's choice brings."""
    required = {canonicalize_name(wanted.name) for wanted in requirements("chem-metrics", "mujoco", "ode", "ot")}
    required.add("scorefield")
    owners = packages_distributions()
    missing = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                if not required & {canonicalize_name(owner) for owner in owners.get(top, [top])}:
                    missing.setdefault(top, path.name)
    assert not missing


def test_no_tracked_text_names_a_package_index():
    pattern = re.compile(r"(extra-)?index-url\s*[= ]|https?://[^ \"']*/simple/")
    suffixes = (".toml", ".txt", ".cfg", ".md", ".yaml", ".yml")
    texts = [name for name in source_files() if name.endswith(suffixes) or name == ".ci/run"]
    assert not [name for name in texts if pattern.search((ROOT / name).read_text(encoding="utf-8"))]
