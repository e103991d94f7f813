"""Two small CTs with organ maps from TotalSegmentator's tests: 30 slices at 3 mm, and 20 slices at 0.98 x 0.98 x 2 mm.

    pip download --no-deps --no-binary :all: totalsegmentator==2.18.0 -d DOWNLOADS && tar xzf DOWNLOADS/*.tar.gz
    pip install -e '.[data]' -c constraints.txt
    python examples/data/totalsegmentator.py totalsegmentator-2.18.0/tests/reference_files runs/organs

Apache-2.0. The organ maps are the tool's own output (Wasserthal et al. 2023), not drawn by hand.
"""

import sys
from pathlib import Path

import numpy as np
from dicom import read_series

from medsmith import Case, Cohort
from medsmith.cases.hounsfield import clip_padding
from medsmith.errors import GeometryError
from medsmith.formats.files import read_image, read_labels
from medsmith.geometry import Geometry
from medsmith.reports.organs import V2

LABELS = {"background": 0, **{name: value for value, name in V2.items()}}


def _case(case_id: str, image: np.ndarray, geometry: Geometry, labels: Path) -> Case:
    """The case on the grid of its organ map, whose axes may run the other way."""
    drawn = read_labels(labels)
    turned, same = _turned(image, geometry, drawn.geometry)
    if same > 0.1:
        raise GeometryError(labels, f"lies {same:.3g} mm away from its image", "at most 0.1 mm", "unpack it again")
    return Case(
        id=case_id,
        image=clip_padding(turned)[0][None],
        labels=drawn.values,
        geometry=drawn.geometry,
        channel_names=("CT",),
        label_names=LABELS,
        stored=np.dtype(np.int16),
    )


def _turned(image: np.ndarray, geometry: Geometry, wanted: Geometry) -> tuple[np.ndarray, float]:
    """The image with axes flipped as in ``wanted``, and how far apart the grids then lie in mm."""
    affine, shape = geometry.affine.copy(), np.array(geometry.shape)
    for axis in range(3):
        if affine[:3, axis] @ wanted.affine[:3, axis] < 0:
            affine[:3, 3] += (shape[axis] - 1) * affine[:3, axis]
            affine[:3, axis] *= -1
            image = np.flip(image, axis)
    return np.ascontiguousarray(image), Geometry(geometry.shape, affine).displacement(wanted)


def main(source: Path, out: Path) -> None:
    """Read the folder SOURCE and write the cohort OUT."""
    cohort = Cohort.create(out, channel_names=("CT",), label_names=LABELS, file_ending=".nii.gz")
    small = read_image(source / "example_ct_sm.nii.gz")
    cohort.write(_case("example_ct_sm", small.values, small.geometry, source / "example_seg.nii.gz"))
    fine = read_series(sorted((source / "example_ct_dicom").glob("CT.*")))
    cohort.write(_case("example_ct_dicom", fine.image, fine.geometry, source / "example_seg_dicom.nii.gz"))
    cohort.finish()
    print(f"{len(cohort)} CTs with organ maps -> {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
