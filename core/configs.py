"""Packaged configurations by name, or a user's own file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

__all__ = ["config_summary", "packaged_configs", "resolve_config"]

_SUFFIXES = (".yaml", ".yml")


def packaged_configs() -> dict[str, Path]:
    """Every packaged configuration: its name, such as `graphs/qm9_gdss`, and its file."""
    root = Path(str(files("scorefield.configs")))
    found = sorted(root.rglob("*.yaml"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in found}


def resolve_config(config: str | Path) -> Path:
    """The file of a configuration.

    Args:
        config: a file, or the name of a packaged configuration with or without its folder and suffix
            (`graphs/qm9_gdss`, `qm9_gdss`).

    Raises:
        InputError: there is neither a file nor a packaged configuration of that name, or several.
    """
    path = Path(config)
    if path.is_file():
        return path
    packaged = packaged_configs()
    name = str(config)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    fits = [known for known in packaged if known == name or known.endswith(f"/{name}")]
    if len(fits) == 1:
        return packaged[fits[0]]
    if fits:
        raise InputError(f"{name!r} names several configurations", mend=f"say which: {', '.join(fits)}")
    if path.suffix in _SUFFIXES:
        raise InputError("no such file", file=path, mend="`scorefield list configs` shows the packaged ones")
    raise unknown("configuration", name, packaged)


def config_summary(path: Path) -> str:
    """What a configuration is for: the comment in its first line."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return first.lstrip("# ").strip() if first.startswith("#") else ""
