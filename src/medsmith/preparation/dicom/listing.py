"""The series of a DICOM folder for the terminal. Only this shows descriptions and UIDs; nothing of it is written."""

from collections.abc import Iterator
from pathlib import Path

from medsmith.errors import RequestError
from medsmith.formats.dicom.folder import Skipped, find_files
from medsmith.formats.dicom.series import Series, find_dicom_files
from medsmith.formats.packages import require_dicom
from medsmith.preparation.dicom.studies import check_any, find_studies
from medsmith.progress import Progress


def list_series(root: Path, progress: Progress) -> Iterator[str]:
    """One line for each study, series and segment below a folder, then for each file that is not read.

    Args:
        root: the folder.
        progress: of finding files and reading their headers.

    Raises:
        FileError: the extra is not installed, or one instance is there twice.
        CohortError: there is no DICOM series.
    """
    require_dicom(root)
    found = find_files(root, progress)
    studies, damaged = find_studies(root, found, progress)
    skipped = (*found.skipped, *(Skipped(path, error.found) for path, error in damaged))
    check_any(root, studies, (one.kind for one in skipped))
    for study in studies:
        yield f"{study.id}: {len(study.series)} series"
        for series in sorted(study.series, key=lambda one: (one.first.number is None, one.first.number)):
            yield f"  {_facts(series)}"
            if series.is_labels:
                yield from (
                    f"{one.number:>11}  {one.label}  {one.description}".rstrip() for one in series.first.segments
                )
    for number, one in enumerate(skipped, start=1):
        yield f"skipped {number}: {one.path.relative_to(root)}: {one.kind}"


def _facts(series: Series) -> str:
    first = series.first
    number = "-" if first.number is None else str(first.number)
    read = series.is_labels or series.is_image or series.is_flat
    use = ", scout" if series.localizer and series.is_image else "" if read else ", not read"
    uid = first.instance if series.is_labels else first.series
    return f"{number:>5}  {first.modality:9} {series.size}{use}; {first.description or 'no description'}; {uid}"


def nth_file(root: Path, number: int, progress: Progress) -> Path:
    """The path of a file that an error names by its place.

    Args:
        root: the folder.
        number: from 1, by the order of the paths of its DICOM files.
        progress: of finding them.

    Raises:
        RequestError: there are fewer files.
    """
    files = find_dicom_files(root, progress)
    if not 1 <= number <= len(files):
        raise RequestError("--file", str(number), f"1 to {len(files)}", "choose one of these")
    return files[number - 1]
