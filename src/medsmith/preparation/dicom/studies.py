"""Studies of a DICOM folder, by ids that tell nothing about the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.errors import CohortError
from medsmith.formats.dicom.series import Series, find_dicom_files, read_series_of


@final
@dataclass(frozen=True)
class Study:
    """One study of one patient.

    Attributes:
        id: ``patient_001_study_1``: numbers by the order of the paths.
        series: its series.
    """

    id: str
    series: tuple[Series, ...]


def find_studies(root: Path, files: Sequence[Path] | None = None) -> tuple[Study, ...]:
    """The studies below a folder, patients and studies numbered in the order of their first paths.

    Args:
        root: the folder.
        files: its DICOM files; None searches for them.

    Raises:
        FileError: a file is damaged.
        CohortError: there is none, or one study has two patients.
    """
    series = read_series_of(root, find_dicom_files(root) if files is None else files)
    if not series:
        raise CohortError(root, "holds no DICOM series", "at least one", "check the path")
    patients: dict[str, dict[str, list[Series]]] = {}
    for one in series:
        if {(header.patient, header.study) for header in one.headers} != {(one.first.patient, one.first.study)}:
            raise CohortError(one.subject, "belongs to several patients or studies", "one", "export it again")
        patient = one.first.patient or f"of study {one.first.study}"
        patients.setdefault(patient, {}).setdefault(one.first.study, []).append(one)
    digits = max(3, len(str(len(patients))))
    return tuple(
        Study(f"patient_{number:0{digits}d}_study_{index}", tuple(found))
        for number, studies in enumerate(patients.values(), start=1)
        for index, found in enumerate(studies.values(), start=1)
    )
