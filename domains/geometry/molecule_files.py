"""Recorded motion of one molecule: files of MD17, of simulations, and of others that name their arrays alike.

MD17 (Chmiela et al., Science Advances 3, 2017) holds `R [F, N, 3]` in angstrom and `z [N]`, frames 0.5 fs apart. Other
archives hold `positions [F, N, 3]` in nm, `atomic_number [N]` and `time_ps [F]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.downloads import cache_folder, download
from scorefield.core.errors import InputError
from scorefield.core.names import unknown
from scorefield.domains.geometry.trajectories import Trajectories
from scorefield.domains.geometry.trajectory_data import thinned_in_time
from scorefield.domains.geometry.trajectory_files import read_archive, read_trajectories
from scorefield.domains.geometry.uniform_times import even_step

__all__ = ["MD17", "Recording", "fetch_md17", "read_recording"]

MD17 = {
    "aspirin": "md17_aspirin.npz",
    "benzene": "md17_benzene2017.npz",
    "ethanol": "md17_ethanol.npz",
    "malonaldehyde": "md17_malonaldehyde.npz",
    "naphthalene": "md17_naphthalene.npz",
    "salicylic_acid": "md17_salicylic.npz",
    "toluene": "md17_toluene.npz",
    "uracil": "md17_uracil.npz",
}
_URL = "http://www.quantum-machine.org/gdml/data/npz"
_MD17_STEP, _MD17_EVERY = 0.5, 10  # fs, and the published thinning


@dataclass(frozen=True)
class Recording:
    """Trajectories of one molecule, in angstrom and fs.

    Attributes:
        trajectories: with atomic numbers, the same in all; edges, where there are some, are bonds.
        every: the thinning that was published for such files.
    """

    trajectories: Trajectories
    every: int = 1


def read_recording(path: Path, every: int | None = None) -> Recording:
    """Trajectories of a molecule, and only every so manyth frame.

    Args:
        path: an archive of MD17 or alike, trajectories with atomic numbers (`.npz`, `.xyz`, `.extxyz`), or the folder
            in which torch_geometric keeps a molecule of MD17.
        every: by default 10 of MD17, 1 else.

    Raises:
        InputError: a file that cannot be read, lacks atomic numbers, or holds several molecules.
    """
    if path.is_dir():
        path = _inside(path)
    arrays = read_archive(path) if path.suffix.lower() == ".npz" else {}
    if "R" in arrays or "positions" in arrays:
        return _plain(arrays, path, every)
    found = read_trajectories(path)
    if found.numbers is None:
        raise InputError("tells no atomic numbers", file=path, mend="name them numbers [N]")
    alike = (found.numbers == found.numbers[:1]).all() and (found.mask == found.mask[:1]).all()
    if not alike or found.frame_mask is not None:
        mend = "give one molecule, all trajectories as long; TrajectoryData takes others"
        raise InputError("holds trajectories of several molecules or lengths", file=path, mend=mend)
    return Recording(thinned_in_time(found, every or 1))


def _inside(folder: Path) -> Path:
    found = sorted([*folder.glob("raw/*.npz"), *folder.glob("*.npz")])
    if len(found) != 1:
        raise InputError(f"holds {len(found)} archives", file=folder, mend="name one file")
    return found[0]


def _plain(arrays: dict[str, NDArray[Any]], path: Path, every: int | None) -> Recording:
    """Archives of MD17, of which the last frame is left out as published, and of simulations in nm."""
    md17 = "R" in arrays
    x, name = (arrays["R"], "z") if md17 else (arrays["positions"] * 10.0, "atomic_number")
    if x.ndim != 3 or x.shape[2] != 3 or not len(x) or x.dtype.kind != "f":
        raise InputError(f"{x.dtype} of shape {x.shape}", file=path, place="R" if md17 else "positions")
    numbers = arrays.get(name)
    if numbers is None or numbers.shape != x.shape[1:2] or numbers.dtype.kind not in "iu":
        raise InputError("needs an atomic number for each atom", file=path, place=name)
    thinning = every or (_MD17_EVERY if md17 else 1)
    kept = x[:-1:thinning] if md17 and len(x) > 1 else x[::thinning]
    if not np.isfinite(kept).all():
        frame, atom = (int(index) for index in np.argwhere(~np.isfinite(kept).all(2))[0])
        place = f"frame {frame * thinning}, atom {atom}"
        raise InputError("a position that is no finite number", file=path, place=place)
    dt = _MD17_STEP * thinning
    if "time_ps" in arrays:
        try:
            dt = even_step(arrays["time_ps"][::thinning]) * 1000
        except InputError as error:
            mend = "thin them with data.every"
            raise InputError(error.problem, file=path, mend=mend) from None
    moving = Trajectories.of(kept.transpose(1, 0, 2)[None], dt=dt, numbers=numbers[None].astype(np.int64))
    return Recording(moving, thinning)


def fetch_md17(molecule: str, url: str | None = None) -> Path:
    """The stored archive of a molecule of MD17, downloaded on the first call.

    Args:
        molecule: see `MD17`.
        url: another folder than the published one.

    Raises:
        InputError: an unknown molecule, no network, or a file that is none of MD17.
    """
    if molecule not in MD17:
        raise unknown("data.molecule", molecule, MD17)
    path = cache_folder() / "downloads" / MD17[molecule]
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"incoming-{path.name}")
    try:
        download(f"{url or _URL}/{path.name}", temporary, f"MD17's {molecule}")
        read_recording(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
