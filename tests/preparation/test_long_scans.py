"""Scans of 512 x 512 x 1000 are prepared within 4 GiB, which a process of its own measures."""

import subprocess
import sys

import numpy as np
import pytest

from medsmith.formats.nifti_writing import write_image
from medsmith.geometry import Geometry

pytest.importorskip("highdicom")
from dicom_files import slices_of, uid

EDGE, SLICES = 512, 1000
MOST_MIB = 4096
PREPARE = (
    "import resource, sys\nfrom medsmith.preparation.prepare import prepare\nprepare(sys.argv[1], sys.argv[2])\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
)


def first_slice():
    """Air, fat, muscle and bone with noise, stored with an intercept of -1024; padding in a corner."""
    values = np.random.default_rng(0).normal(1064, 12, (EDGE, EDGE))
    values[:100], values[100:200], values[450:470] = 24, 924, 1700
    values[:50, :50] = -2000
    return np.rint(values).astype(np.int16)


def write_dicom(folder):
    """A file per slice, each written before the next is made."""
    plane = first_slice()
    (data,) = slices_of(plane[None])
    folder.mkdir()
    for place in range(SLICES):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("long", place)
        data.ImagePositionPatient = ["-10", "5", f"{place * 0.7:.1f}"]
        data.PixelData = np.roll(plane, (place // EDGE, place), axis=(0, 1)).tobytes()
        data.save_as(folder / f"{place:04d}", enforce_file_format=True)


def write_nifti(folder):
    """One file; its slices are windows on one wide slice."""
    shape = (EDGE, EDGE, SLICES)
    values = np.lib.stride_tricks.sliding_window_view(np.tile(first_slice(), (1, 3)), EDGE, axis=1)[:, :SLICES, :]
    folder.mkdir()
    image = values.transpose(2, 0, 1).astype(np.float32)
    image -= 1024
    write_image(folder / "long.nii.gz", image, Geometry(shape, np.eye(4)), np.dtype(np.int16), synthetic=False)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_dicom, write_nifti])
def test_a_long_scan_is_prepared_within_4_gib(write, tmp_path):
    write(tmp_path / "in")
    arguments = [sys.executable, "-c", PREPARE, str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_MIB
    assert len(list((tmp_path / "out" / "imagesTr").iterdir())) == 1
