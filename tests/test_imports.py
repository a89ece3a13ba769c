"""Rules of the house that the syntax tree shows: who may import whom, and how long things may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION = 400, 50
VAGUE = {"utils.py", "helpers.py", "common.py", "misc.py"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def ident(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """Absolute names of every import in a file, those inside functions and type-checking blocks included."""
    package = ["scorefield", *path.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", python_files("core"), ids=ident)
def test_core_knows_no_domain(path):
    assert not [name for name in imported(path) if below(name, "scorefield.domains")]


@pytest.mark.parametrize("path", python_files("domains"), ids=ident)
def test_domains_do_not_know_each_other(path):
    parts = path.relative_to(ROOT / "domains").parts
    own = f"scorefield.domains.{parts[0]}" if len(parts) > 1 else None
    strange = [n for n in imported(path) if below(n, "scorefield.domains") and not (own and below(n, own))]
    assert not strange


@pytest.mark.parametrize("path", python_files("core", "domains", "configs", "data"), ids=ident)
def test_no_module_goes_by_two_names(path):
    tops = {"core", "domains", "configs", "data", "tests", "benchmarks"}
    assert not [name for name in imported(path) if name.partition(".")[0] in tops]


@pytest.mark.parametrize("path", python_files("core", "domains", "configs", "data", "tests"), ids=ident)
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE
    assert path.name not in VAGUE
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert not {name: lines for name, lines in long.items() if lines > MAX_FUNCTION}
