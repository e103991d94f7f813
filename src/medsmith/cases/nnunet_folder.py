"""Cases and files of a folder in nnU-Net's raw format.

nnU-Net v2: F. Isensee et al. 2021, https://github.com/MIC-DKFZ/nnUNet (dataset_format.md).
"""

import json
import os
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import final

from medsmith.cases.case_files import CaseFiles, ChannelFile
from medsmith.errors import FileError
from medsmith.formats.json_file import read_json

IMAGES, LABELS, REPORTS, PROVENANCE, DATASET = "imagesTr", "labelsTr", "reports", "provenance", "dataset.json"
UNFINISHED = ".unfinished"
"""Suffix of the marker file in ``provenance/`` while a case is being written."""
_SHOWN = 60
_PARTS: dict[tuple[int, bool], tuple[int, bool]] = {}
"""Each combination of parts once, for all cases that have it."""


@final
class NnunetCases(Mapping[str, CaseFiles]):
    """Id -> files of the cases of an nnU-Net folder; the paths are made when they are asked for, to save memory.

    Args:
        root: of the cohort.
        ending: of its files.
        parts: id -> number of image channels that the case has, and whether it has a label map.
    """

    def __init__(self, root: Path, ending: str, parts: Mapping[str, tuple[int, bool]]) -> None:
        self._root, self._ending, self._parts = root, ending, parts

    def __getitem__(self, case_id: str) -> CaseFiles:
        channels, labeled = self._parts[case_id]
        return nnunet_files(self._root, case_id, channels, self._ending, labels=labeled)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@final
class CasesFoundLater(Mapping[str, CaseFiles]):
    """Id -> files of the cases of an nnU-Net folder, which is listed when they are first asked for.

    Args:
        root: of the cohort.
        channels: number of image channels.
        ending: of its files.
    """

    def __init__(self, root: Path, channels: int, ending: str) -> None:
        self._root, self._channels, self._ending = root, channels, ending

    @cached_property
    def _found(self) -> NnunetCases:
        return scan_nnunet(self._root, self._channels, self._ending)[0]

    def __getitem__(self, case_id: str) -> CaseFiles:
        return self._found[case_id]

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def nnunet_files(root: Path, case_id: str, channels: int, ending: str, *, labels: bool = True) -> CaseFiles:
    """The files of a case in nnU-Net's raw format.

    Args:
        root: of the cohort.
        case_id: its name.
        channels: number of image channels; 0 for no image.
        ending: of its files.
        labels: whether it has a label map.
    """
    images = [root / IMAGES / f"{case_id}_{channel:04d}{ending}" for channel in range(channels)]
    return CaseFiles(tuple(map(ChannelFile, images)), root / LABELS / f"{case_id}{ending}" if labels else None)


def files_of_whole_case(root: Path, case_id: str, channels: int, ending: str) -> CaseFiles | None:
    """The files of a case, found without a list of the folder; None where it is not whole, as of ``scan_nnunet``.

    Args:
        root: of the cohort.
        case_id: its name.
        channels: number of image channels.
        ending: of its files.
    """
    usual = nnunet_files(root, case_id, channels, ending)
    found, labeled = sum(channel.path.exists() for channel in usual.channels), usual.label_paths[0].exists()
    if found not in (0, channels) or not (found or labeled) or not _all_recorded(root, case_id):
        return None
    return usual if found and labeled else nnunet_files(root, case_id, found, ending, labels=labeled)


def files_of_other_cases(root: Path, ids: Container[str], channels: int, ending: str) -> list[str]:
    """Names of the images and label maps in a folder that are of none of these cases, sorted.

    Args:
        root: of the cohort.
        ids: of its cases.
        channels: number of image channels.
        ending: of its files.
    """
    suffixes = {f"_{channel:04d}" for channel in range(channels)}
    images = (name for name in names_in(root / IMAGES, ending) if name[-5:] not in suffixes or name[:-5] not in ids)
    labels = (name for name in names_in(root / LABELS, ending) if name not in ids)
    return sorted(f"{name}{ending}" for name in (*images, *labels))


def scan_nnunet(root: Path, channels: int, ending: str) -> tuple[NnunetCases, list[str]]:
    """Cases of an nnU-Net folder, and the names of files that belong to none.

    A case has all its channels, its label map, or both, and no marker of an unfinished write. If only some channels
    exist, or an image or label map named in the provenance is missing, all files of the case are left over.
    """
    images, labels = set(names_in(root / IMAGES, ending)), set(names_in(root / LABELS, ending))
    marked = names_in(root / PROVENANCE, UNFINISHED)
    unfinished = {name for name in marked if not (root / PROVENANCE / f"{name}.json").exists()}
    parts: dict[str, tuple[int, bool]] = {}
    strays = images | labels
    for case_id in sorted((labels | {name[:-5] for name in images if name.endswith("_0000")}) - unfinished):
        wanted = {f"{case_id}_{channel:04d}" for channel in range(channels)}
        found, labeled = wanted & images, case_id in labels
        if found not in (set(), wanted) or not (found or labeled):
            continue
        if (found and labeled) or _all_recorded(root, case_id):
            parts[case_id] = _PARTS.setdefault((len(found), labeled), (len(found), labeled))
            strays -= wanted | {case_id}
    return NnunetCases(root, ending, parts), sorted(f"{name}{ending}" for name in strays)


def _all_recorded(root: Path, case_id: str) -> bool:
    """Whether every file that the provenance of a case names exists; True without provenance."""
    path = root / PROVENANCE / f"{case_id}.json"
    return not path.exists() or all((root / name).exists() for name in recorded_files(path))


def recorded_files(path: Path) -> Mapping[str, str]:
    """The files that a provenance names, with their hashes.

    Raises:
        FileError: it cannot be read, or names them otherwise.
    """
    files = read_json(path).get("files", {})
    if not isinstance(files, dict) or any("\0" in name for name in files):
        raise FileError(
            path, f"files = {json.dumps(files)[:_SHOWN]}", "an object of file names", "restore or remove it"
        )
    return files


def names_in(folder: Path, ending: str) -> Iterator[str]:
    """Names of the visible files with an ending in a folder, without it, one at a time; none where it is missing."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(ending) and not entry.name.startswith("."):
                yield entry.name.removesuffix(ending)
