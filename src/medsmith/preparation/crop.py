"""Crops of one field of view from scans whose fields of view differ: around the labels, or over the whole scan."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, final

import numpy as np

from medsmith.cases.canonical import canonical_geometry
from medsmith.cases.case import Case
from medsmith.cases.case_files import Layout
from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort, folder_of
from medsmith.cases.integrity import ENDINGS_WRITTEN, first_of
from medsmith.errors import CohortError, RequestError, counted
from medsmith.formats.folders import check_disjoint_folders
from medsmith.formats.nifti_geometry import MIN_AXIS_VOXELS
from medsmith.geometry import Geometry
from medsmith.preparation.provenance_fields import lost_lines, with_known_provenance
from medsmith.preparation.recorded import check_ids, recorded
from medsmith.progress import NullProgress, Progress, silent

RECORD = "crop.json"
Place = Literal["foreground", "center", "sliding"]
Voxels = tuple[int, int, int]
_LARGEST, _MOST_TIMES, _MOST_CROPS = 2000.0, 4, 100_000
_TOGETHER = 16
"""Crops of a scan that are held in memory and synced together."""


@final
@dataclass(frozen=True)
class CropOptions:
    """How scans are cropped.

    Attributes:
        extent_mm: edges of the crop along the patient's left-right, front-back and foot-head axes.
        place: "foreground" puts the center of the labels' bounding box into the center, "center" that of the scan;
            "sliding" covers the scan with crops that overlap.
        overlap: least share of a crop that it shares with the next, where they slide.
    """

    extent_mm: tuple[float, float, float]
    place: Place = "foreground"
    overlap: float = 0.25

    def check(self) -> None:
        """Checks the numbers.

        Raises:
            RequestError: one is out of range.
        """
        if not all(0 < edge <= _LARGEST for edge in self.extent_mm):
            raise RequestError(
                "--mm", f"{_shown(self.extent_mm)} mm", f"edges above 0, at most {_LARGEST:g} mm", "choose others"
            )
        if not 0 <= self.overlap <= 0.9:
            raise RequestError("--overlap", f"{self.overlap:g}", "0 to 0.9", "choose another")


def crop(
    source: CohortLike,
    out: Path | str,
    options: CropOptions,
    *,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> Cohort:
    """Writes a cohort of crops on the voxels of the scans; a call that was interrupted is continued.

    What lies outside a scan has the scan's lowest gray value and no label. A scan without labels is cropped about the
    place that the labels of the others have on average.

    Args:
        source: a cohort.
        out: a new folder, or the one started by an identical call.
        options: size and place.
        report: receives one line for each thing to know.
        progress: of the scans.

    Raises:
        RequestError: an option is out of range, labels are needed and no case has any, or a crop has too few voxels.
        CohortError: the folder holds something else.
        MedsmithError: a case cannot be read.
    """
    options.check()
    check_disjoint_folders((folder_of(source), Path(out)))
    cohort = as_cohort(source)
    if not len(cohort):
        raise CohortError(cohort.root, "has no cases", "at least one", "name a cohort that has some")
    count = _count(cohort, options)
    check_ids(crop_id(case_id, count - 1) if options.place == "sliding" else case_id for case_id in cohort.ids)
    report(f"{counted(len(cohort), 'case')}, {counted(count, 'crop')} -> {out}")
    usual = _usual_center(cohort) if options.place == "foreground" else (0.5, 0.5, 0.5)
    ending = cohort.file_ending if cohort.file_ending in ENDINGS_WRITTEN else ".nii.gz"
    rule = {
        "extent_mm": options.extent_mm,
        "place": options.place,
        "overlap": options.overlap,
        "source": cohort.content_hash(),
    }
    notes: dict[str, list[str]] = defaultdict(list)
    lost: list[str] = []
    layout = Layout(cohort.channel_names, cohort.label_names, ending, {})
    with (
        recorded(Path(out), RECORD, rule, layout) as written,
        (progress or NullProgress()).task("crop", len(cohort)) as advance,
    ):
        for case in map(with_known_provenance(cohort.__getitem__, lost), cohort.ids):
            crops = crops_of(case, options, usual)
            while some := {part.id: part for part in islice(crops, _TOGETHER)}:
                for note in _lost(case, some[case.id]) if options.place != "sliding" else ():
                    notes[note].append(case.id)
                written.write_all([id for id in some if id not in written], some.__getitem__)
            advance(1, case.id)
        written.finish()
    lines = [f"{len(ids)} of {len(cohort)} cases: {note} ({first_of(ids)})" for note, ids in sorted(notes.items())]
    for line in (*lines, *lost_lines(lost)):
        report(line)
    return written


def _count(cohort: Cohort, options: CropOptions) -> int:
    """Number of crops of all cases, from their headers.

    Raises:
        RequestError: they are too many, or one has too few voxels, or too many beyond its scan.
    """
    count = 0
    for case_id in cohort.ids:
        grid = canonical_geometry(cohort.geometry(case_id))
        size = _voxels(grid, case_id, options.extent_mm)
        if any(edge > _MOST_TIMES * n for edge, n in zip(size, grid.shape, strict=True)):
            found = f"{_shown(options.extent_mm)} mm are {' x '.join(map(str, size))} voxels, {case_id} has "
            found += " x ".join(map(str, grid.shape))
            raise RequestError("--mm", found, f"{_MOST_TIMES} times a scan at most", "choose a smaller crop")
        axes = [_sliding(n, edge, options.overlap) for n, edge in zip(grid.shape, size, strict=True)]
        count += math.prod(map(len, axes)) if options.place == "sliding" else 1
    if count > _MOST_CROPS:
        cure = "choose larger crops or less overlap"
        raise RequestError("--mm", f"{count} crops", f"{_MOST_CROPS} at most", cure)
    return count


def crops_of(case: Case, options: CropOptions, usual: tuple[float, ...] = (0.5, 0.5, 0.5)) -> Iterator[Case]:
    """The crops of one case in canonical axes.

    Args:
        case: in canonical axes.
        options: size and place.
        usual: center of a crop where the case has no labels, as shares of the scan.

    Raises:
        RequestError: a crop has too few voxels.
    """
    shape = case.geometry.shape
    size = _voxels(case.geometry, case.id, options.extent_mm)
    if options.place != "sliding":
        center = _center(case) if options.place == "foreground" else None
        shares = usual if center is None else center
        starts = [round(share * n - edge / 2) for share, n, edge in zip(shares, shape, size, strict=True)]
        yield _cut(case, case.id, (starts[0], starts[1], starts[2]), size)
        return
    axes = [_sliding(n, edge, options.overlap) for n, edge in zip(shape, size, strict=True)]
    places = [(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]]
    for number, start in enumerate(places):
        yield _cut(case, crop_id(case.id, number), start, size)


def crop_id(case_id: str, number: int) -> str:
    """The id of a crop of a case that is covered by several."""
    return f"{case_id}_c{number:02d}"


def _voxels(grid: Geometry, case_id: str, extent_mm: tuple[float, float, float]) -> Voxels:
    """Edges of the crop in voxels; a slice stays one voxel deep."""
    if not grid.spacing_known:
        raise RequestError("--mm", f"{case_id} has no spacing", "mm need one", "crop scans, not pictures")
    x, y, z = (round(edge / mm) for edge, mm in zip(extent_mm, grid.spacing, strict=True))
    size = (x, y, 1 if grid.dimensions == 2 else z)
    if min(size[: grid.dimensions]) < MIN_AXIS_VOXELS:
        found = f"{_shown(extent_mm)} mm are {' x '.join(map(str, size))} voxels of {case_id}"
        raise RequestError("--mm", found, f"at least {MIN_AXIS_VOXELS} voxels along each axis", "choose a larger crop")
    return size


def _shown(extent_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{edge:g}" for edge in extent_mm)


def _sliding(length: int, edge: int, overlap: float) -> list[int]:
    """Starts of crops at equal distances that cover an axis; one centered crop where it is longer than the axis."""
    if edge >= length:
        return [(length - edge) // 2]
    count = 1 + math.ceil((length - edge) / max(1.0, edge * (1 - overlap)))
    return [round(start) for start in np.linspace(0, length - edge, count)]


def _center(case: Case) -> tuple[float, ...] | None:
    """Center of the labels' bounding box as shares of the scan; None without labels."""
    if case.labels is None or not case.labels.any():
        return None
    bounds = [np.flatnonzero(case.labels.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    return tuple(float((low + high + 1) / 2 / n) for (low, high), n in zip(bounds, case.labels.shape, strict=True))


def _usual_center(cohort: Cohort) -> tuple[float, ...]:
    centers = [center for case_id in cohort.ids_with_labels if (center := _center(cohort[case_id])) is not None]
    if not centers:
        cure = "choose --place center or sliding"
        raise RequestError("--place", f"no case of {cohort.root} has labels", "foreground needs some", cure)
    return tuple(float(value) for value in np.mean(centers, axis=0))


def _cut(case: Case, id: str, start: Voxels, size: Voxels) -> Case:
    """The case within a box that may reach beyond it."""
    shape = case.geometry.shape
    inside = tuple(slice(max(0, low), min(n, low + edge)) for low, edge, n in zip(start, size, shape, strict=True))
    place = tuple(slice(part.start - low, part.stop - low) for part, low in zip(inside, start, strict=True))
    image, labels = None, None
    if case.image is not None:
        lowest = case.image.min(axis=(1, 2, 3), keepdims=True)
        image = np.broadcast_to(lowest, (len(case.image), *size)).copy()
        image[(slice(None), *place)] = case.image[(slice(None), *inside)]
    if case.labels is not None:
        labels = np.zeros(size, case.labels.dtype)
        labels[place] = case.labels[inside]
    affine = case.geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(start, dtype=np.float64)
    # A report describes whole lesions, and a case that was made cannot be made again from a part of it.
    cut = labels is not None and case.labels is not None and (labels > 0).sum() < (case.labels > 0).sum()
    provenance = None if case.provenance is None else {**case.provenance, "crop_of": case.id}
    return replace(
        case,
        id=id,
        image=image,
        labels=labels,
        geometry=replace(case.geometry, shape=size, affine=affine),
        report=None if cut else case.report,
        provenance=provenance,
    )


def _lost(case: Case, part: Case) -> Iterator[str]:
    """What a crop cuts off or adds."""
    if case.labels is not None and part.labels is not None and (part.labels > 0).sum() < (case.labels > 0).sum():
        yield "labels reach beyond the crop"
    if case.report and not part.report:
        yield "the report describes what was cut off, and is left out"
    if any(edge > n for edge, n in zip(part.geometry.shape, case.geometry.shape, strict=True)):
        yield "the scan is smaller than the crop, the rest is filled with its lowest value"
