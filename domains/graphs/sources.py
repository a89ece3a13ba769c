"""Published sets of molecules: what they hold, and where they can be downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from scorefield.core.downloads import cache_folder, download
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.domains.graphs.formats import read_table

__all__ = ["QM9", "ZINC250K", "MoleculeSource", "rows_digest"]


@dataclass(frozen=True)
class MoleculeSource:
    """A published set of molecules.

    Args:
        name: its name.
        url: a table with a column `smiles`.
        file: the name the table is stored under.
        index: name of the published test index: a file of this name with `.json` beside the data is used, else the
            one that the package holds.
        size: number of molecules.
        test_size: molecules in the published test split.
        atoms: the elements.
        max_nodes: the largest number of heavy atoms.
        digest: `rows_digest` of the SMILES in the published order, as far as we have seen the set.
        licence: what is known about the terms of use.
    """

    name: str
    url: str
    file: str
    index: str
    size: int
    test_size: int
    atoms: tuple[str, ...]
    max_nodes: int
    digest: str
    licence: str

    def fetch(self, url: str | None = None) -> Path:
        """The stored table, downloaded on the first call.

        Args:
            url: another address than the published one.

        Raises:
            InputError: no network, or another number of molecules than the set has.
        """
        path = cache_folder() / "downloads" / self.file
        if path.exists():
            return path
        with atomic(path) as temporary:
            download(url or self.url, temporary, self.name)
            found = len(read_table(temporary).smiles)
            if found != self.size:
                raise InputError(
                    f"{self.name} from {url or self.url} holds {found} molecules instead of {self.size}",
                    mend="give the data file with --data.path",
                )
        return path


def rows_digest(smiles: list[str]) -> str:
    """SHA-256 of the SMILES in their order, whatever file they stand in."""
    return hashlib.sha256("\n".join(smiles).encode()).hexdigest()


QM9 = MoleculeSource(
    name="QM9",
    url="https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/qm9.csv",
    file="qm9.csv",
    index="qm9_test_idx",
    size=133_885,
    test_size=13_082,
    atoms=("C", "N", "O", "F"),
    max_nodes=9,
    digest="ac766f3b6f7047c2cbbed180e0b42df5a763d88e00ecf7008aff351d42a0c0d0",
    licence="QM9 (Ramakrishnan et al. 2014, doi 10.1038/sdata.2014.22); see the terms of the source",
)

ZINC250K = MoleculeSource(
    name="ZINC250k",
    url=(
        "https://raw.githubusercontent.com/aspuru-guzik-group/chemical_vae/master/models/zinc_properties/"
        "250k_rndm_zinc_drugs_clean_3.csv"
    ),
    file="zinc250k.csv",
    index="zinc250k_test_idx",
    size=249_455,
    test_size=24_887,
    atoms=("C", "N", "O", "F", "P", "S", "Cl", "Br", "I"),
    max_nodes=38,
    digest="b2a780b520e9188fdbc3dd1affe785f0f21151ac7e9fa8889e33832067763a9b",
    licence="ZINC (free for everyone to use; see zinc.docking.org for its terms)",
)
