"""Closes a folder that cases were written to: leftovers removed, dataset.json in step with the cases, all verified."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from medsmith.cases.case_files import Layout
from medsmith.cases.integrity import first_of
from medsmith.cases.nnunet_folder import (
    DATASET,
    IMAGES,
    LABELS,
    PROVENANCE,
    REPORTS,
    UNFINISHED,
    files_of_other_cases,
    files_of_whole_case,
    names_in,
    scan_nnunet,
)
from medsmith.cases.verification import verify_case, verify_folder
from medsmith.errors import CohortError, counted
from medsmith.formats.atomic import remove, remove_if_empty, remove_temporary_files, write_json


def write_dataset(root: Path, declared: Layout, count: int, description: str) -> None:
    """Writes dataset.json.

    Args:
        root: of the cohort.
        declared: its channels, labels and ending.
        count: number of its cases.
        description: of the cohort; left out if empty.
    """
    facts: dict[str, Any] = {
        "channel_names": {str(index): name for index, name in enumerate(declared.channel_names)},
        "labels": dict(declared.label_names),
        "numTraining": count,
        "file_ending": declared.file_ending,
    }
    write_json(root / DATASET, facts | ({"description": description} if description else {}))


def finish_folder(root: Path, declared: Layout, description: str) -> Layout:
    """Closes a folder with whatever cases it holds.

    Args:
        root: of the cohort.
        declared: its channels, labels and ending.
        description: of the cohort.

    Returns:
        What the folder holds.

    Raises:
        MedsmithError: as of ``verify_folder``.
    """
    _remove_temporary(root)
    cases, strays = scan_nnunet(root, len(declared.channel_names), declared.file_ending)
    _check_none(root, strays)
    _remove_markers(root)
    write_dataset(root, declared, len(cases), description)
    del cases, strays  # listed anew: two lists at once would take twice the memory
    return verify_folder(root)


def finish_known(root: Path, declared: Layout, description: str, ids: Collection[str]) -> None:
    """Closes a folder whose cases are known; nothing is listed, so that memory does not grow with their number.

    Args:
        root: of the cohort.
        declared: its channels, labels and ending.
        description: of the cohort.
        ids: of all cases that it may hold; those without provenance are not made.

    Raises:
        CohortError: a file belongs to none of them, or a case is not whole.
        MedsmithError: a case cannot be read.
    """
    channels, ending = len(declared.channel_names), declared.file_ending
    _remove_temporary(root)
    _check_none(root, files_of_other_cases(root, ids, channels, ending))
    _remove_markers(root)
    count = 0
    for case_id in ids:
        if not (root / PROVENANCE / f"{case_id}.json").exists():
            continue
        files = files_of_whole_case(root, case_id, channels, ending)
        if files is None:
            raise CohortError(root, f"case {case_id} lacks a file", "whole cases", "make it again")
        verify_case(root, case_id, files, declared)
        count += 1
    write_dataset(root, declared, count, description)


def _remove_temporary(root: Path) -> None:
    for folder in (".", IMAGES, LABELS, REPORTS, PROVENANCE):
        remove_temporary_files(root / folder)


def _check_none(root: Path, strays: list[str]) -> None:
    if strays:
        found = f"{counted(len(strays), 'file')} of no complete case: {first_of(strays)}"
        raise CohortError(root, found, "whole cases", "write the cases again or delete the files")


def _remove_markers(root: Path) -> None:
    for name in list(names_in(root / PROVENANCE, UNFINISHED)):
        remove(root / PROVENANCE / f"{name}{UNFINISHED}")
    remove_if_empty(root / PROVENANCE)
