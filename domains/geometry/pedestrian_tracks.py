"""Recorded tracks of ETH and UCY: files as they are published, and where they can be downloaded.

A recording is a text file of rows (frame, agent, x, y) in metres, numbered in tenths of a step of 0.4 s. All eight may
stand in one `.npz`, where frames are numbered in steps.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.downloads import cache_folder, download
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.domains.geometry.pedestrians import RECORDINGS
from scorefield.domains.geometry.trajectory_files import read_archive

__all__ = ["LICENCE", "fetch_tracks", "read_track", "read_tracks"]

Tracks = dict[str, NDArray[np.float64]]
LICENCE = (
    "ETH BIWI walking pedestrians (Pellegrini et al. 2009) and UCY crowds (Lerner et al. 2007), research data without "
    "a stated licence"
)
_URL = "https://raw.githubusercontent.com/abduallahmohamed/Social-STGCNN/master/datasets/raw/all_data"
_STORED = "eth_ucy_tracks.npz"
_TENTHS = 10
_ROWS = {
    "biwi_eth": 5492, "biwi_hotel": 6543, "crowds_zara01": 5153, "crowds_zara02": 9722, "crowds_zara03": 5005,
    "students001": 21813, "students003": 17953, "uni_examples": 2747,
}  # fmt: skip


def read_tracks(path: Path) -> Tracks:
    """All recordings.

    Args:
        path: a folder of the text files, or an `.npz` of them.

    Raises:
        InputError: one is missing, or cannot be read.
    """
    if path.is_dir():
        return {name: read_track(path / f"{name}.txt") for name in RECORDINGS}
    arrays = read_archive(path)
    missing = [name for name in RECORDINGS if name not in arrays]
    if missing:
        raise InputError(f"lacks the recordings {', '.join(missing)}", file=path)
    return {name: _checked(arrays[name], path, name) for name in RECORDINGS}


def read_track(path: Path) -> NDArray[np.float64]:
    """One recording, its frames numbered in steps, `[rows, 4]`.

    Raises:
        InputError: it is missing, or no table of four columns of numbers, frames in order.
    """
    try:
        table = np.loadtxt(io.StringIO(path.read_text(encoding="utf-8")), ndmin=2)
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path) from error
    except (OSError, ValueError) as error:
        reason = str(error).partition(";")[0]
        raise InputError(f"is no table of numbers ({reason})", file=path) from error
    if table.shape[1:] == (4,):
        table[:, 0] /= _TENTHS
    return _checked(table, path, None)


def _checked(track: NDArray[Any], path: Path, place: str | None) -> NDArray[np.float64]:
    if track.ndim != 2 or track.shape[1] != 4 or not len(track) or track.dtype.kind not in "fiu":
        what = f"shape {track.shape}"
        raise InputError(what, file=path, place=place, mend="give rows of frame, agent, x, y")
    wrong = ~np.isfinite(track).all(1)
    wrong[1:] |= np.diff(track[:, 0]) < 0
    wrong |= track[:, 0] != np.round(track[:, 0])
    if wrong.any():
        row = int(np.argmax(wrong))
        where = f"row {row}" if place is None else f"{place}, row {row}"
        raise InputError(
            f"{track[row].tolist()} is not finite, not of a whole step, or of an earlier one", file=path, place=where
        )
    return np.asarray(track, dtype=np.float64)


def fetch_tracks(url: str | None = None) -> Path:
    """The stored recordings, downloaded on the first call.

    Args:
        url: another folder than the published one.

    Raises:
        InputError: no network, or files that are not as published.
    """
    path = cache_folder() / "downloads" / _STORED
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    tracks: Tracks = {}
    for name in RECORDINGS:
        temporary = path.with_name(f"incoming-{name}.txt")
        try:
            download(f"{url or _URL}/{name}.txt", temporary, name)
            tracks[name] = read_track(temporary)
        finally:
            temporary.unlink(missing_ok=True)
        if len(tracks[name]) != _ROWS[name]:
            what = f"{len(tracks[name])} rows, {name} as published has {_ROWS[name]}"
            raise InputError(what, file=f"{name}.txt", mend="give files of your own with --data.path")
    with atomic(path) as incoming, incoming.open("wb") as stream:
        content: dict[str, Any] = tracks
        np.savez_compressed(stream, allow_pickle=False, **content)
    return path
