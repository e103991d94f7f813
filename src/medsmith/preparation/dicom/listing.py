"""The series of a DICOM folder for the terminal. Only this shows descriptions and UIDs; nothing of it is written."""

from collections.abc import Iterator
from pathlib import Path

from medsmith.errors import RequestError
from medsmith.formats.dicom.series import Series, find_dicom_files
from medsmith.formats.packages import require_dicom
from medsmith.preparation.dicom.studies import find_studies


def list_series(root: Path) -> Iterator[str]:
    """One line for each study, series and segment below a folder.

    Raises:
        FileError: the extra is not installed, or a file is damaged.
        CohortError: there is no DICOM series.
    """
    require_dicom(root)
    for study in find_studies(root):
        yield f"{study.id}: {len(study.series)} series"
        for series in sorted(study.series, key=lambda one: (one.first.number is None, one.first.number)):
            yield f"  {_facts(series)}"
            if series.is_labels:
                yield from (
                    f"{one.number:>11}  {one.label}  {one.description}".rstrip() for one in series.first.segments
                )


def _facts(series: Series) -> str:
    first = series.first
    number = "-" if first.number is None else str(first.number)
    read = series.is_labels or series.is_image or series.is_flat
    use = ", scout" if series.localizer and series.is_image else "" if read else ", not read"
    uid = first.instance if series.is_labels else first.series
    return f"{number:>5}  {first.modality:9} {series.size}{use}; {first.description or 'no description'}; {uid}"


def nth_file(root: Path, number: int) -> Path:
    """The path of a file that an error names by its place.

    Args:
        root: the folder.
        number: from 1, by the order of the paths of its DICOM files.

    Raises:
        RequestError: there are fewer files.
    """
    files = find_dicom_files(root)
    if not 1 <= number <= len(files):
        raise RequestError("--file", str(number), f"1 to {len(files)}", "choose one of these")
    return files[number - 1]
