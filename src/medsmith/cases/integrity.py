"""Checks of the cohort format: nnU-Net v2's rules and portable file names."""

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
_LABELS_SHOWN = 20
_SHOWN = 3


MOST_CASES = 10**7
"""Of one folder: a larger number is a mistake, and is refused before anything is planned for it."""


def first_of(names: Iterable[object]) -> str:
    """The first few names and how many more there are, for an error line."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def declared_line(label_names: Mapping[str, int]) -> str:
    """The first labels with their values, and how many more there are: ``"background = 0, lesion = 1"``."""
    listed = [f"{name} = {value}" for name, value in label_names.items()]
    more = f" and {len(listed) - _LABELS_SHOWN} more" if len(listed) > _LABELS_SHOWN else ""
    return ", ".join(listed[:_LABELS_SHOWN]) + more


def check_id(case_id: str) -> None:
    """Checks that an id is a portable file name.

    Raises:
        CohortError: other characters than letters, digits, ``_ . -``, a first ``.`` or ``-``, or over 200 bytes.
    """
    if not _ID.fullmatch(case_id) or len(case_id.encode()) > _ID_BYTES:
        limit = f"letters, digits, _ . - (the first a letter, digit or _), at most {_ID_BYTES} bytes"
        raise CohortError(f"case id {case_id[:80]!r}", "is no portable file name", limit, "rename the case")


def check_consecutive(subject: Path, label_names: Mapping[str, int]) -> None:
    """Checks that labels are background = 0 and then 1, 2, ....

    Raises:
        CohortError: a gap, or another name or value for the background.
    """
    if sorted(label_names.values()) != list(range(len(label_names))) or label_names.get("background") != 0:
        found = f"labels {declared_line(label_names)}"
        raise CohortError(subject, found, "nnU-Net wants background = 0 and then 1, 2, ...", "renumber them")


def check_declaration(
    root: Path, channel_names: tuple[str, ...], label_names: Mapping[str, int], file_ending: str
) -> None:
    """Checks the channels, labels and file ending of a new cohort.

    Raises:
        CohortError: the ending is not written, neither a channel nor a label is named, or the labels have gaps.
    """
    if file_ending not in ENDINGS_WRITTEN:
        raise CohortError(root, f"file_ending {file_ending!r}", f"one of {', '.join(ENDINGS_WRITTEN)}", "choose one")
    check_consecutive(root, label_names)
    if not channel_names and len(label_names) == 1:
        raise CohortError(root, "no channel and no label is named", "at least one", "name the channels or labels")


def check_case_matches(root: Path, case: Case, channel_names: tuple[str, ...], label_names: Mapping[str, int]) -> None:
    """Checks that a case matches the cohort's declaration.

    Raises:
        CohortError: its id is not a valid file name, or its channels or labels differ.
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
    """Maps the values in a file to labels; refuses undeclared values.

    Args:
        values: as read.
        label_of: value in the file -> label.
        label_names: for the error line.
        subject: file or case, for the error line.

    Raises:
        ContentError: a value that is not in ``label_of``, or two that mean the same.
    """
    counts = np.zeros(256, dtype=np.int64)
    for part in np.moveaxis(values, -1, 0):  # counting all at once takes eight bytes per voxel
        counts += np.bincount(part.ravel(), minlength=256)
    found = [int(value) for value in np.flatnonzero(counts)]
    strange = [value for value in found if value not in label_of]
    if strange:
        line = f"undeclared label values {first_of(strange)} (found {first_of(found)})"
        name_of = {label: name for name, label in label_names.items()}
        declared: dict[str, int] = {}
        for value, label in label_of.items():
            declared.setdefault(name_of[label], value)
        raise ContentError(
            subject, line, f"declared: {declared_line(declared)}", "is this the image? else declare them"
        )
    if len({label_of[value] for value in found}) < len(found):
        line, limit = f"label values {', '.join(map(str, found))}", "a mask of one label has 0 and 1, or 0 and 255"
        raise ContentError(subject, line, limit, "is this the image? else declare a label for each: NAME=VALUE")
    table = np.zeros(256, dtype=np.uint8)
    for value, label in label_of.items():
        table[value] = label
    result: UInt8[np.ndarray, "x y z"] = table[values]
    return np.ascontiguousarray(result)


def check_same_grid(path: Path, grid: Geometry, other_path: Path, other: Geometry) -> None:
    """Checks that two files share a grid.

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
