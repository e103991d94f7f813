"""A lesion goes into a scan and nothing else changes, whatever the orientation, the spacing and the dtype."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from insertion_scans import NAMES, ORIENTATIONS, SPACINGS, body, grid, oriented
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame
from medsmith.insertion.memory import estimate_memory
from medsmith.insertion.write_back import blend
from scan_files import nifti_bytes

SHAPE = (26, 24, 22)
DTYPES = ("int16", "uint16", "float32")
MARGIN_MM = 2.5
WHOLE = (slice(None),) * 3


def scan_of(spacing, codes, dtype):
    """A noisy scan of a body, in file order, and what it looks like canonically."""
    canonical = grid(SHAPE, spacing)
    geometry, to_file = oriented(canonical, codes)
    labels = body(SHAPE)
    image = np.random.default_rng(7).normal(300 + 20.0 * labels, 15).astype(np.float32)
    image = image if dtype == "float32" else np.rint(image)
    in_file = [nib.orientations.apply_orientation(each, to_file) for each in (image, labels)]
    case = Case(
        "a", np.ascontiguousarray(in_file[0])[None], np.ascontiguousarray(in_file[1]), replace(geometry, codes=(2, 1)),
        ("CT",), NAMES, np.dtype(dtype),
    )  # fmt: skip
    return case, image, labels


def insert(case: Case, box: Box) -> Case:
    """A bright ellipsoid in the box, by way of the cube; image and labels are edited in place."""
    view, labels = (canonical_view(array, case.geometry) for array in (case.require_image()[0], case.require_labels()))
    frame = Frame.about(box, canonical_geometry(case.geometry), 20)
    cube = frame.resample_in(view, -1000.0)
    place = np.stack(np.meshgrid(*[np.arange(20) - 9.5] * 3, indexing="ij"))
    radius = np.array(box.shape) * frame.scan.spacing / 2 / frame.spacing_mm
    mask = frame.resample_out(((place / radius[:, None, None, None]) ** 2).sum(axis=0).astype(np.float32)) < 1
    distance = distance_transform_edt(~mask, sampling=frame.scan.spacing)
    weight = np.clip(1 - distance / MARGIN_MM, 0, 1).astype(np.float32)
    blend(view, frame.region, frame.resample_out(cube + 150), weight, case.stored)
    labels[frame.region][mask] = NAMES["lesion"]
    return replace(case, provenance={"made": "by a test"})


def voxels_in_file(root: Path):
    image = nib.load(root / "imagesTr" / "a_0000.nii.gz")
    return image, np.asarray(image.dataobj.get_unscaled()), np.asarray(nib.load(root / "labelsTr" / "a.nii.gz").dataobj)


def written(root: Path, case: Case) -> Cohort:
    cohort = Cohort.create(root, channel_names=("CT",), label_names=NAMES, file_ending=".nii.gz")
    cohort.write(case)
    return cohort


def round_trip(folder: Path, spacing, codes, dtype):
    """Writes, reads, edits, writes; returns the lesion as seen canonically."""
    case, canonical_image, _ = scan_of(spacing, codes, dtype)
    before, after = folder / "before", folder / "after"
    edited = insert(written(before, case).stored("a"), Box((9, 8, 7), (15, 14, 12)))
    written(after, edited)
    (old, old_voxels, old_labels), (new, new_voxels, new_labels) = voxels_in_file(before), voxels_in_file(after)
    assert new_voxels.dtype == old_voxels.dtype == dtype
    np.testing.assert_allclose(new.affine, old.affine, atol=1e-5)
    assert [new.header[field] for field in ("sform_code", "qform_code")] == [2, 1]
    assert (new.dataobj.slope, new.dataobj.inter) == (old.dataobj.slope, old.dataobj.inter) == (1, 0)
    lesion = new_labels == NAMES["lesion"]
    assert lesion.any()
    np.testing.assert_array_equal(new_labels[~lesion], old_labels[~lesion])
    outside = distance_transform_edt(~lesion, sampling=old.header.get_zooms()[:3]) >= MARGIN_MM
    np.testing.assert_array_equal(new_voxels[outside], old_voxels[outside])
    difference = new_voxels.astype(float) - old_voxels
    assert difference[lesion].mean() > 100
    read = Cohort.open(after).stored("a")
    assert read.stored == dtype
    seen = [canonical_view(each, read.geometry) for each in (read.require_image()[0], read.require_labels())]
    np.testing.assert_allclose(canonical_geometry(read.geometry).affine, grid(SHAPE, spacing).affine, atol=1e-5)
    assert (seen[0] != canonical_image).sum() == (difference != 0).sum()
    return np.array(seen[0]), np.array(seen[1])


@pytest.mark.parametrize("number", range(len(ORIENTATIONS)))
def test_nothing_but_the_lesion_changes_in_any_orientation(number, tmp_path):
    spacing, dtype = SPACINGS[number % len(SPACINGS)], DTYPES[number % len(DTYPES)]
    image, labels = round_trip(tmp_path, spacing, ORIENTATIONS[number], dtype)
    reference = round_trip(tmp_path / "reference", spacing, "RAS", dtype)
    np.testing.assert_array_equal(image, reference[0])
    np.testing.assert_array_equal(labels, reference[1])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_same_lesion_in_all_orientations_under_every_spacing_and_dtype(spacing, dtype, tmp_path):
    seen = [round_trip(tmp_path / codes, spacing, codes, dtype) for codes in ORIENTATIONS]
    for image, labels in seen[1:]:
        np.testing.assert_array_equal(image, seen[0][0])
        np.testing.assert_array_equal(labels, seen[0][1])


def test_an_intercept_in_the_header_changes_nothing(tmp_path):
    """CT as scanners store it: unsigned, with an intercept of -1024."""
    case, image, _ = scan_of((1.0, 1.0, 1.0), "LPS", "int16")
    cohort = written(tmp_path / "before", case)
    raw = nib.orientations.apply_orientation(image, oriented(grid(SHAPE), "LPS")[1]).astype(np.uint16)
    fields = {"scl_slope": 1.0, "scl_inter": -1024.0}
    path = tmp_path / "before" / "imagesTr" / "a_0000.nii.gz"
    path.write_bytes(nifti_bytes(raw, case.geometry.affine, fields=fields))
    source = cohort.stored("a")
    kept = source.require_image().copy()
    np.testing.assert_array_equal(kept[0], raw.astype(np.float32) - 1024)
    written(tmp_path / "after", insert(source, Box((9, 8, 7), (15, 14, 12))))
    _, voxels, lesion = voxels_in_file(tmp_path / "after")
    outside = distance_transform_edt(lesion != NAMES["lesion"]) >= MARGIN_MM
    np.testing.assert_array_equal(voxels[outside], kept[0][outside])


def test_blending_is_a_weighted_mean_rounded_and_clipped():
    view = np.array([0, 100, 100, 100, 32000], dtype=np.int16).reshape(5, 1, 1)
    values = np.array([-50, 201, 201, np.nan, 90000], dtype=np.float32).reshape(5, 1, 1)
    weight = np.array([1, 1, 0.25, 0, 0.9], dtype=np.float32).reshape(5, 1, 1)
    blend(view, WHOLE, values, weight)
    assert view.ravel().tolist() == [-50, 201, 125, 100, 32767]
    gray = np.array([10.0, 250.0], dtype=np.float32).reshape(2, 1, 1)
    blend(gray, WHOLE, np.full((2, 1, 1), 300.6, np.float32), np.full((2, 1, 1), 0.5, np.float32), np.dtype("uint8"))
    assert gray.ravel().tolist() == [155.0, 255.0]
    exact = np.array([0.5], dtype=np.float32).reshape(1, 1, 1)
    blend(exact, WHOLE, np.full((1, 1, 1), 1.25, np.float32), np.ones((1, 1, 1), np.float32), np.dtype("float32"))
    assert exact.item() == 1.25


def test_a_blend_of_weight_zero_touches_nothing():
    view = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    before = view.copy()
    region = (slice(1, 3), slice(0, 4), slice(2, 6))
    blend(view, region, np.full((2, 4, 4), np.nan, np.float32), np.zeros((2, 4, 4), np.float32))
    np.testing.assert_array_equal(view, before)


_LARGE = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from medsmith.cases.cohort import Cohort
from medsmith.reports.schema import LesionReport
from medsmith.insertion.boxes import place_boxes
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.insertion.completing import completed
from medsmith.insertion.frame import Frame
from medsmith.insertion.organ_map import organ_map_from_case
from medsmith.insertion.regions import allowed_region
from medsmith.insertion.memory import estimate_memory
from medsmith.insertion.write_back import blend

source = Cohort.open(sys.argv[1])
case = source["big"]
view, labels = (canonical_view(array, case.geometry) for array in (case.image[0], case.labels))
organs = completed(organ_map_from_case(case), view)
report = LesionReport(size_mm=(24.0, 20.0, 18.0))
(box,) = place_boxes([report], organs, np.random.default_rng(0))
frame = Frame.about(box, organs.geometry, 64)
cube = frame.resample_in(view, -1000.0)
mask = (frame.resample_out(frame.inside(box)) > 0.5) & allowed_region(organs, report, frame.region)
blend(view, frame.region, frame.resample_out(cube + 100), mask.astype(np.float32), case.stored)
labels[frame.region][mask] = case.label_names["lesion"]
out = Cohort.create(sys.argv[2], channel_names=source.channel_names, label_names=source.label_names,
                    file_ending=".nii.gz")
out.write(replace(case, provenance={"made": "by a test"}))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "estimate": estimate_memory(case.geometry.shape, case.stored),
                  "voxels": int(mask.sum())}))
"""


def write_large(root: Path, shape) -> None:
    """A cohort with one large scan of a cylinder of tissue, written slice by slice."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    labels = {"background": 0, "lesion": 1}
    facts = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii"}
    (root / "dataset.json").write_text(json.dumps(facts))
    across, along = np.meshgrid(*[(np.arange(n) - n / 2) / (n / 2) for n in shape[:2]], indexing="ij")
    tissue = np.where(across**2 + along**2 < 0.64, 40, -1000).astype("<i2").tobytes(order="F")
    for name, dtype, plane in (("imagesTr/big_0000.nii", "<i2", tissue), ("labelsTr/big.nii", "u1", None)):
        header = nib.Nifti1Header(endianness="<")
        header.set_data_dtype(dtype)
        header.set_data_shape(shape)
        for form in (header.set_sform, header.set_qform):
            form(np.diag([0.7, 0.7, 1.0, 1.0]), code=1)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        with (root / name).open("wb") as file:
            file.write(header.binaryblock + b"\0\0\0\0")
            if plane is None:
                file.truncate(352 + int(np.prod(shape)))
            else:
                for _ in range(shape[2]):
                    file.write(plane)


@pytest.mark.slow
def test_a_large_scan_in_four_gibibytes_and_near_the_estimate(tmp_path):
    write_large(tmp_path / "in", (512, 512, 1000))
    run = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout)
    assert result["voxels"] > 1000
    assert result["peak"] <= 4 * 2**30
    assert result["peak"] <= 1.2 * result["estimate"]
    assert result["estimate"] <= 4 * 2**30


def test_the_estimate_grows_with_the_scan_and_its_dtype():
    small, large = (estimate_memory((512, 512, count), np.dtype("int16")) for count in (100, 200))
    assert large - small == 512 * 512 * 100 * (4 + 3 + 2)
    assert estimate_memory((512, 512, 100), np.dtype("float32")) - small == 512 * 512 * 100 * 2
