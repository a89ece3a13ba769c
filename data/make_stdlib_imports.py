"""Makes `stdlib_imports.txt.gz`: which modules of the Python standard library import which.

A node is a module or package of the library of the Python that runs this, tests and site-packages left out; an edge
goes from a module to each module that one of its `import` statements names, wherever in the file it stands: `import
a.b` and `from a.b import c` name `a.b`, and `a.b.c` where that is a module. Relative imports are resolved. Nodes are
numbered in the order of their names, which stand in comments: `# 17 asyncio.events`. The file has no time stamp.
"""

from __future__ import annotations

import ast
import gzip
import io
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from scorefield.core.files import atomic

__all__ = ["imports_of", "main", "modules"]

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "__pycache__", "lib2to3"}


def modules(root: Path) -> dict[str, Path]:
    """Names of the modules below a folder, in order, and their files."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if not _LEFT_OUT & set(parts) and all(part.isidentifier() for part in parts):
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return dict(sorted(found.items()))


def imports_of(name: str, file: Path, known: dict[str, Path]) -> Iterator[str]:
    """Known modules that a module imports."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            named = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (found for found in named if found in known and found != name)


def main() -> None:
    """Write the file beside this one."""
    known = modules(Path(sysconfig.get_path("stdlib")))
    numbers = {name: number for number, name in enumerate(known)}
    edges = {(numbers[name], numbers[goal]) for name, file in known.items() for goal in imports_of(name, file, known)}
    version = ".".join(map(str, sys.version_info[:3]))
    lines = [f"# Modules of the standard library of Python {version}, and which import which", f"# Nodes: {len(known)}"]
    lines += [f"# {number} {name}" for name, number in numbers.items()]
    lines += [f"{src}\t{dst}" for src, dst in sorted(edges)]
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as file:
        file.write("\n".join([*lines, ""]).encode())
    with atomic(Path(__file__).with_name("stdlib_imports.txt.gz")) as temporary:
        temporary.write_bytes(packed.getvalue())
    print(f"{len(known)} modules, {len(edges)} imports")


if __name__ == "__main__":
    main()
