"""Studies of a DICOM folder, by ids that tell nothing about the patient."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.errors import CohortError, FileError
from medsmith.formats.dicom.folder import DicomFolder, kinds_line
from medsmith.formats.dicom.headers import COPY_AGAIN, Header
from medsmith.formats.dicom.series import Series, read_series_of
from medsmith.preparation.options import UNREADABLE, PrepareOptions
from medsmith.progress import Progress


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


def find_studies(
    root: Path, found: DicomFolder, progress: Progress
) -> tuple[tuple[Study, ...], tuple[tuple[Path, FileError], ...]]:
    """The studies below a folder, and its damaged files with their errors.

    Args:
        root: the folder.
        found: its files.
        progress: of reading their headers.

    Raises:
        FileError: one instance is there twice.
        CohortError: one study has two patients.
    """
    damaged: list[tuple[Path, FileError]] = []
    series = read_series_of(root, found.files, progress, lambda path, error: damaged.append((path, error)))
    return _grouped(root, series), tuple(damaged)


def read_studies(
    root: Path, found: DicomFolder, options: PrepareOptions, progress: Progress
) -> tuple[tuple[Study, ...], tuple[str, ...]]:
    """The studies below a folder, and the kinds of the files that are skipped.

    Args:
        root: the folder.
        found: its files.
        options: whether damaged files are left out.
        progress: of reading headers.

    Raises:
        FileError: a file is damaged and not to be left out, or one instance is there twice.
        CohortError: several are damaged; there is no series, or one study has two patients.
    """
    studies, damaged = find_studies(root, found, progress)
    if damaged and UNREADABLE not in options.leave_out:
        first, cure = damaged[0][1], f"{COPY_AGAIN}, or pass --leave-out {UNREADABLE}"
        if len(damaged) == 1:
            raise FileError(first.subject, first.found, first.limit, cure)
        count = f"{len(damaged)} of {len(found.files)} DICOM files are damaged"
        raise CohortError(root, f"{count}, the first: {first.subject}: {first.found}", first.limit, cure)
    kinds = (*(one.kind for one in found.skipped), *(error.found for _, error in damaged))
    check_any(root, studies, kinds)
    return studies, kinds


def check_any(root: Path, studies: Sequence[Study], kinds: Iterable[str]) -> None:
    """Checks that there is a study.

    Args:
        root: the folder.
        studies: in it.
        kinds: of its other files.

    Raises:
        CohortError: there is none.
    """
    if not studies:
        found = f"holds no DICOM series ({kinds_line(kinds) or 'nothing'})"
        raise CohortError(root, found, "at least one", "check the path")


def _grouped(root: Path, series: Sequence[Series]) -> tuple[Study, ...]:
    """The studies that some series make up, patients and studies numbered in the order of their first paths."""
    patients: dict[str, dict[str, list[Series]]] = {}
    known = _patients(root, series)
    for one in series:
        if {(header.patient, header.study) for header in one.headers} != {(one.first.patient, one.first.study)}:
            raise CohortError(one.subject, "belongs to several patients or studies", "one", "export it again")
        patient = known.get(one.first.study, f"of study {one.first.study}")
        patients.setdefault(patient, {}).setdefault(one.first.study, []).append(one)
    digits = max(3, len(str(len(patients))))
    return tuple(
        Study(f"patient_{number:0{digits}d}_study_{index}", tuple(members))
        for number, studies in enumerate(patients.values(), start=1)
        for index, members in enumerate(studies.values(), start=1)
    )


def _patients(root: Path, series: Sequence[Series]) -> dict[str, str]:
    """Study -> id of its patient, of the studies that name one; series without an id are of the patient of the others.

    Raises:
        CohortError: one study has two patients.
    """
    first: dict[str, Header] = {}
    for header in (one.first for one in series if one.first.patient):
        other = first.setdefault(header.study, header)
        if other.patient != header.patient:
            files = f"{other.place.removeprefix(f'{root}, ')} and {header.place.removeprefix(f'{root}, ')}"
            found = f"one study UID is of two patients, as in {files}"
            cure = f"correct the copies that are wrong (medsmith series {root} --file N gives a path)"
            raise CohortError(root, found, "a study is of one patient", cure)
    return {study: header.patient for study, header in first.items()}
