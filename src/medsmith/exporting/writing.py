"""Writes every case of a cohort to a folder of its own, in the format of other software."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final, get_args

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import CohortError, MedsmithError, RequestError, counted, similar
from medsmith.formats.atomic import deferred_sync, is_free, unwritable, write_json
from medsmith.formats.folders import check_outside
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.formats.packages import INSTALL
from medsmith.progress import NullProgress, Progress

if TYPE_CHECKING:
    from medsmith.exporting.source import SourceSeries

Format = Literal["dicom", "nrrd"]
RECORD, LABEL_LIST = "export.json", "labels.txt"
_STAGED = ".medsmith-export-"
_NEEDED: Mapping[Format, tuple[str, ...]] = {"dicom": ("pydicom", "highdicom"), "nrrd": ("SimpleITK",)}


@final
@dataclass(frozen=True)
class ExportOptions:
    """What is written.

    Attributes:
        format: ``dicom`` (image series, segmentation) or ``nrrd`` (images, segmentation of 3D Slicer).
        modality: of every channel, CT or MR; by default as the channels are named.
        structures: whether an RT structure set is written beside the segmentation.
        keep_identity: whether patient and study are those of the source series.
        date: of the DICOM objects, YYYYMMDD; by default today, and that of the first call where one is continued.

    Raises:
        RequestError: an unknown format, or a date that is none.
    """

    format: Format = "dicom"
    modality: Literal["CT", "MR"] | None = None
    structures: bool = False
    keep_identity: bool = False
    date: str | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            formats = get_args(Format)
            cure = similar(self.format, formats, "choose one")
            raise RequestError("--format", f"{self.format!r}", f"one of {', '.join(formats)}", cure)
        if self.modality not in (None, "CT", "MR"):
            raise RequestError("--modality", f"{self.modality!r}", "CT or MR can be written", "choose one")
        if self.date is not None and not _is_date(self.date):
            raise RequestError("--date", f"{self.date!r}", "YYYYMMDD", "correct it")


@final
@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        out: its folder.
        cases: all that are there now.
        left_out: ids of cases without an image, which DICOM cannot hold.
        with_source: ids of the cases that refer to a source series.
        without_source: ids of the cases that no series of the source with valid UIDs fits; none without a source.
        largest_error: largest difference between a written and the stored gray value.
    """

    out: Path
    cases: tuple[str, ...]
    left_out: tuple[str, ...]
    with_source: tuple[str, ...]
    without_source: tuple[str, ...]
    largest_error: float

    @property
    def lines(self) -> tuple[str, ...]:
        """What is printed."""
        found = [f"{self.out}: {counted(len(self.cases), 'case')}"]
        if self.left_out:
            found.append(f"left out, without an image: {counted(len(self.left_out), 'case')}")
        if self.largest_error:
            found.append(f"gray values are rounded to 16 bits, by {self.largest_error:.3g} at most")
        if self.with_source:
            found.append(f"refer to their source series: {counted(len(self.with_source), 'case')}")
        if self.without_source:
            unfit = counted(len(self.without_source), "case")
            found.append(f"no series of the source has the grid, half of the voxels and valid UIDs: {unfit}")
        return tuple(found)

    def as_json(self) -> Mapping[str, Any]:
        """What was written, as JSON values."""
        return {**asdict(self), "out": str(self.out)}


CaseWriter = Callable[[Case, Path], Mapping[str, Any]]
"""Writes a case to a folder; returns what is remembered of it."""


def export(
    cohort: CohortLike,
    out: Path | str,
    options: ExportOptions | None = None,
    *,
    source: Path | str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Writes a cohort for other software; an interrupted call is continued by the same one.

    Each case gets the folder ``OUT/CASE``, which appears when it is whole. Identifiers follow from the content: the
    same case gives the same bytes on the same date.

    Args:
        cohort: what is exported.
        out: a new folder, or that of the same call.
        options: format and marks.
        source: folder of the DICOM series that the cases were made from; needs format ``dicom``.
        progress: display of the progress.

    Raises:
        RequestError: a package is missing, options that do not fit, or no case has an image.
        CohortError: the folder holds something else, or that of another call or source.
        GeometryError: axes that are not perpendicular, or no spacing.
        FileError: a case cannot be read, or a file not be written.
    """
    chosen, options, out, progress = (
        as_cohort(cohort),
        options or ExportOptions(),
        Path(out),
        progress or NullProgress(),
    )
    _check(options, source)
    check_outside(out, [chosen.root, *([Path(source)] if source else [])])
    ids, left_out = _ids(chosen, options.format)
    series = _series_in(source, progress)
    with hold_output(out):
        date = _started(out, chosen, options, None if source is None else _hash_of(series))
        try:
            write = _writer(options, date, series)
            with progress.task("export", len(ids), sum((out / id).is_dir() for id in ids)) as advance:
                for id in ids:
                    if not (out / id).is_dir():
                        _write_case(chosen.stored(id), out, write)
                        advance(1, "")
        except MedsmithError:
            if not any((out / id).is_dir() for id in ids):
                (out / RECORD).unlink(missing_ok=True)  # a call that wrote nothing does not take the folder
            raise
        if options.format == "nrrd" and chosen.ids_with_labels:
            from medsmith.exporting.nrrd import write_label_list

            write_label_list(out / LABEL_LIST, chosen.label_names)
        return _summary(out, ids, left_out, source_given=source is not None)


def _check(options: ExportOptions, source: Path | str | None) -> None:
    missing = [name for name in _NEEDED[options.format] if util.find_spec(name) is None]
    if missing:
        cure = f"install it: {INSTALL}"
        raise RequestError("export", f"{missing[0]} is not installed", f"{options.format} needs it", cure)
    dicom_alone = {"--source": source, "--rtstruct": options.structures, "--modality": options.modality}
    for name, given in dicom_alone.items():
        if given and options.format != "dicom":
            raise RequestError(name, f"format {options.format}", "it is of DICOM alone", "leave it out")
    if options.keep_identity and source is None:
        raise RequestError("--keep-identity", "no source", "the identity is that of a series", "add --source")
    if source is not None and not Path(source).is_dir():
        raise RequestError("--source", f"{source} is no folder", "a folder of DICOM files", "correct it")


def _is_date(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).strftime("%Y%m%d") == text
    except ValueError:
        return False


def _ids(cohort: Cohort, format: Format) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids to write, and those that the format cannot hold."""
    if format != "dicom":
        return cohort.ids, ()
    with_image = set(cohort.ids_with_image)
    ids = tuple(id for id in cohort.ids if id in with_image)
    if not ids:
        raise RequestError("export", f"{cohort.root} has no image", "a DICOM segmentation lies on images", "use nrrd")
    return ids, tuple(id for id in cohort.ids if id not in with_image)


def _series_in(source: Path | str | None, progress: Progress) -> "Sequence[SourceSeries]":
    if source is None:
        return ()
    from medsmith.exporting.source import find_series

    return find_series(Path(source), progress)


def _hash_of(series: "Sequence[SourceSeries]") -> str:
    """Hash of the identifiers of all images: the same wherever they lie."""
    instances = sorted(instance for one in series for instance in one.instances)
    return hashlib.sha256("\n".join(instances).encode()).hexdigest()


def _started(out: Path, cohort: Cohort, options: ExportOptions, source: str | None) -> str:
    """Checks that the folder is new or that of the same call; writes its record and returns the date."""
    wanted = {key: value for key, value in asdict(options).items() if key != "date"}
    wanted |= {"cohort": cohort.content_hash(), "source": source}
    record = out / RECORD
    if record.exists():
        earlier = dict(read_json(record))
        date = str(earlier.pop("date", ""))
        if earlier != wanted or (options.date or date) != date:
            found = "was exported from other cases or another source, or with other options"
            raise CohortError(out, found, cure="choose a new folder")
        _remove_staged(out)
        return date
    if not is_free(out):
        raise CohortError(out, "exists and holds something else", cure="choose a new folder")
    date = options.date or datetime.now(UTC).strftime("%Y%m%d")
    write_json(record, {**wanted, "date": date})
    return date


def _writer(options: ExportOptions, date: str, series: "Sequence[SourceSeries]") -> CaseWriter:
    if options.format == "nrrd":
        from medsmith.exporting.nrrd import NrrdWriter

        return NrrdWriter(date)
    from medsmith.exporting.dicom import DicomWriter

    return DicomWriter(date, options.modality, options.structures, options.keep_identity, series)


def _write_case(case: Case, out: Path, write: CaseWriter) -> None:
    """Writes a case aside, and gives its folder the name when it is whole."""
    staged = out / f"{_STAGED}{secrets.token_hex(8)}"
    try:
        with deferred_sync():
            remembered = write(case, staged)
            write_json(staged / RECORD, {"id": case.id, "synthetic": case.synthetic, **remembered})
        try:
            staged.rename(out / case.id)
            _sync_folder(out)
        except OSError as error:
            raise unwritable(out / case.id, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_staged(out: Path) -> None:
    for folder in out.glob(f"{_STAGED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _summary(out: Path, ids: Sequence[str], left_out: tuple[str, ...], *, source_given: bool) -> Exported:
    records = {id: read_json(out / id / RECORD) for id in ids}
    return Exported(
        out,
        tuple(ids),
        left_out,
        tuple(id for id, record in records.items() if record.get("source")),
        tuple(id for id, record in records.items() if source_given and not record.get("source")),
        max((float(record.get("largest_error", 0)) for record in records.values()), default=0.0),
    )
