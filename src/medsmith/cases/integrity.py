"""The rules of a cohort, each a small check with its own line: nnU-Net v2's, and those of file names."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medsmith.cases.case import Case
from medsmith.errors import CohortError, ContentError, GeometryError
from medsmith.geometry import Geometry

ENDINGS_WRITTEN = (".nii.gz", ".png")
SAME_GRID_MM = 1e-3
"""Largest distance in mm between matching corners of an image and its label."""
_ID = re.compile(r"\w[\w.\-]*")
_ID_BYTES = 200
_SHOWN = 3


def first_of(names: Iterable[object]) -> str:
    """The first few names and how many more there are, for an error line."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def declared_line(label_names: Mapping[str, int]) -> str:
    """Label names and values for an error line: ``"background = 0, lesion = 1"``."""
    return ", ".join(f"{name} = {value}" for name, value in label_names.items())


def check_id(case_id: str) -> None:
    """Refuses ids that are no portable file name.

    Raises:
        CohortError: other characters than letters, digits, ``_ . -``, a first ``.`` or ``-``, or over 200 bytes.
    """
    if not _ID.fullmatch(case_id) or len(case_id.encode()) > _ID_BYTES:
        limit = f"letters, digits, _ . - (the first a letter, digit or _), at most {_ID_BYTES} bytes"
        raise CohortError(f"case id {case_id[:80]!r}", "is no portable file name", limit, "rename the case")


def check_consecutive(subject: Path, label_names: Mapping[str, int]) -> None:
    """Refuses labels other than background = 0 and then 1, 2, ....

    Raises:
        CohortError: a gap, or another name or value for the background.
    """
    if sorted(label_names.values()) != list(range(len(label_names))) or label_names.get("background") != 0:
        found = f"labels {declared_line(label_names)}"
        raise CohortError(subject, found, "nnU-Net wants background = 0 and then 1, 2, ...", "renumber them")


def check_declaration(
    root: Path, channel_names: tuple[str, ...], label_names: Mapping[str, int], file_ending: str
) -> None:
    """Refuses what no cohort can be written with.

    Raises:
        CohortError: the ending is not written, neither a channel nor a label is named, or the labels have gaps.
    """
    if file_ending not in ENDINGS_WRITTEN:
        raise CohortError(root, f"file_ending {file_ending!r}", f"one of {', '.join(ENDINGS_WRITTEN)}", "choose one")
    check_consecutive(root, label_names)
    if not channel_names and len(label_names) == 1:
        raise CohortError(root, "no channel and no label is named", "at least one", "name the channels or labels")


def check_case_matches(root: Path, case: Case, channel_names: tuple[str, ...], label_names: Mapping[str, int]) -> None:
    """Refuses a case that the cohort cannot take.

    Raises:
        CohortError: its id is no file name, or its channels or labels are others.
        ContentError: voxels have a label that is not declared.
    """
    check_id(case.id)
    if case.channel_names != channel_names or dict(case.label_names) != dict(label_names):
        found = f"case {case.id} has channels {', '.join(case.channel_names)}; {declared_line(case.label_names)}"
        limit = f"the cohort has channels {', '.join(channel_names)}; {declared_line(label_names)}"
        raise CohortError(root, found, limit, "write it to a cohort of its own")
    if case.labels is not None:
        relabel(case.labels, {value: value for value in label_names.values()}, label_names, case.id)


def relabel(
    values: UInt8[np.ndarray, "x y z"],
    label_of: Mapping[int, int],
    label_names: Mapping[str, int],
    subject: object,
) -> UInt8[np.ndarray, "x y z"]:
    """Labels from the values in a file; refuses those that nobody declared.

    Args:
        values: as read.
        label_of: value in the file -> label.
        label_names: for the error line.
        subject: file or case, for the error line.

    Raises:
        ContentError: a value that ``label_of`` does not know.
    """
    counts = np.zeros(256, dtype=np.int64)
    for part in np.moveaxis(values, -1, 0):  # a count of all at once takes eight bytes per voxel
        counts += np.bincount(part.ravel(), minlength=256)
    found = [int(value) for value in np.flatnonzero(counts)]
    strange = [value for value in found if value not in label_of]
    if strange:
        line = f"undeclared label values {first_of(strange)} (found {first_of(found)})"
        name_of = {label: name for name, label in label_names.items()}
        declared = declared_line({name_of[label]: value for value, label in label_of.items()})
        raise ContentError(subject, line, f"declared: {declared}", "is this the image? else declare them")
    table = np.zeros(256, dtype=np.uint8)
    for value, label in label_of.items():
        table[value] = label
    result: UInt8[np.ndarray, "x y z"] = table[values]
    return np.ascontiguousarray(result)


def check_same_grid(path: Path, grid: Geometry, other_path: Path, other: Geometry) -> None:
    """Refuses two files that do not share a grid.

    Raises:
        GeometryError: shapes differ, or corners lie more than ``SAME_GRID_MM`` apart.
    """
    if grid.shape != other.shape:
        found = f"shape {other.shape}, while {path.name} has {grid.shape}"
        raise GeometryError(other_path, found, "image and label share a grid", "resample one (nearest for labels)")
    if not (grid.spacing_known and other.spacing_known):
        return
    shift = grid.displacement(other)
    if shift > SAME_GRID_MM:
        found = f"lies {shift:.4g} mm away from {path.name} (largest corner displacement)"
        cure = "resample one (nearest for labels), or correct its header"
        raise GeometryError(other_path, found, f"at most {SAME_GRID_MM:g} mm", cure)
