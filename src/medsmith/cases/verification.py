"""Verifies nnU-Net v2's integrity rules, as far as they apply to each case."""

from pathlib import Path

from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.case_io import read_case, read_records
from medsmith.cases.damaged_records import refusing_damaged
from medsmith.cases.integrity import check_consecutive, first_of
from medsmith.cases.layouts import find_layout
from medsmith.cases.nnunet_folder import DATASET, PROVENANCE
from medsmith.errors import CohortError, counted
from medsmith.formats.json_file import read_json
from medsmith.formats.volume import ReadOptions

_KEYS = ("channel_names", "labels", "numTraining", "file_ending")


def verify_folder(root: Path) -> Layout:
    """Reads every case, like nnU-Net's verify_dataset_integrity; a case may have only an image or only labels.

    Returns:
        What the folder holds.

    Raises:
        CohortError: dataset.json lacks a key or counts wrongly, labels are not 0, 1, ..., n, a file belongs to
            no complete case, a file that a provenance names is missing, or there is no case.
        FileError: a file is damaged.
        GeometryError: grids of channels and label differ.
        ContentError: voxels that are not finite, or label values that are not declared.
    """
    path = root / DATASET
    facts = read_json(path)
    missing = [key for key in _KEYS if key not in facts]
    if missing:
        raise CohortError(path, f"lacks {', '.join(missing)}", "nnU-Net v2 needs them", "add them")
    layout = find_layout(root)
    check_consecutive(path, layout.label_names)
    cases = layout.cases
    if layout.strays:
        found = f"{counted(len(layout.strays), 'file')} of no complete case: {first_of(layout.strays)}"
        raise CohortError(root, found, "whole cases", "delete them or add what is missing")
    if facts["numTraining"] != len(cases) or not cases:
        found = f"numTraining is {facts['numTraining']}, {len(cases)} cases are there"
        raise CohortError(path, found, "both are equal and at least 1", "finish the cohort")
    for case_id in sorted(cases):
        verify_case(root, case_id, cases[case_id], layout)
    return layout


def verify_case(root: Path, case_id: str, files: CaseFiles, layout: Layout) -> None:
    """Reads a case, and checks that all files named in its provenance exist.

    Args:
        root: of the cohort.
        case_id: its name.
        files: of the case.
        layout: declaration of the cohort.

    Raises:
        CohortError: a file that its provenance names is missing.
        MedsmithError: the case cannot be read.
    """
    read_case(case_id, files, layout, ReadOptions())
    _, provenance = read_records(root, case_id)
    with refusing_damaged(root / PROVENANCE / f"{case_id}.json"):
        gone = [name for name in (provenance or {}).get("files", {}) if not (root / name).exists()]
    if gone:
        raise CohortError(root, f"case {case_id} lacks {first_of(gone)}", "its provenance names it", "make it again")
