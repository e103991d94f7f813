"""The record says what voxels of a DICOM folder went through; those that cannot be right are refused."""

import json

import numpy as np
import pytest

from compressed_slices import PLANE
from medsmith.cli import main
from medsmith.errors import MedsmithError
from medsmith.preparation.prepare import RECORD, prepare
from scan_files import good_source, run

pytest.importorskip("highdicom")
from dicom_files import file_of, pydicom, save, slices_of, voxels_of


def test_lossy_compression_is_in_the_record(tmp_path):
    slices = slices_of(np.repeat(PLANE[None], 9, axis=0), modality="MR", intercept=0)
    for data in slices[:3]:
        data.compress(pydicom.uid.JPEGLSNearLossless, jls_error=2, generate_instance_uid=False)
    said: list[str] = []
    cohort = prepare(save(tmp_path / "in", slices), tmp_path / "out", report=said.append)
    note = "patient_001_study_1: 3 of 9 images went through lossy compression"
    assert note in json.loads((cohort.root / RECORD).read_text())["notes"]
    assert f"note: {note}" in said


def test_a_ct_that_lost_its_rescaling_is_refused(tmp_path):
    slices = slices_of(voxels_of())
    for data in slices:
        del data.RescaleSlope, data.RescaleIntercept
    code, line = run(lambda: prepare(save(tmp_path / "in", slices), tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert "1024 too high (rescale intercept lost); CT is in Hounsfield units; run medsmith prepare with" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", [-50, 700])
def test_a_slice_that_is_cut_short_is_refused_before_anything_is_written(left, tmp_path):
    folder = save(tmp_path / "in", slices_of(voxels_of()))
    path = file_of(folder, 4)
    path.write_bytes(path.read_bytes()[:left])
    code, line = run(lambda: prepare(folder, tmp_path / "out", report=lambda _: None))
    assert code == 2
    assert line.startswith(f"{folder}, file ")
    assert "\n" not in line
    assert not (tmp_path / "out").exists()


def test_a_series_that_claims_more_than_memory_is_refused_before_a_slice_is_decoded(tmp_path, monkeypatch):
    slices = slices_of(voxels_of())
    for data in slices:
        data.Rows = data.Columns = 40_000
    monkeypatch.setattr("medsmith.formats.dicom.stacking.read_pixels", lambda *_: pytest.fail("decoded"))
    code, line = run(lambda: prepare(save(tmp_path / "in", slices), tmp_path / "out", report=lambda _: None))
    assert (code, "53.6 GiB; at most 8.0 GiB; crop or split it" in line) == (2, True)


def test_a_scan_that_needs_more_memory_than_is_free_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """Row 73, of DICOM and of NIfTI; the limit below which nothing is asked is lowered for small scans."""
    scan = good_source(tmp_path / "nifti") / "labels" / "a.nii.gz"  # read before the image
    save(tmp_path / "dicom", slices_of(voxels_of()))
    monkeypatch.setattr("medsmith.formats.opening._SMALL", 0)
    for free, code in ((9503, 2), (9504, 0)):
        monkeypatch.setattr("medsmith.formats.opening.available_memory", lambda free=free: free)
        found, line = run(lambda: prepare(tmp_path / "dicom", tmp_path / "out", report=lambda _: None))
        assert found == code
        assert code == 0 or line.endswith(
            "series 2 (CT, 9 slices of 12 x 11): takes 9.3 KiB of memory; 9.3 KiB are free; "
            "close other programs, or crop or split it"
        )
    monkeypatch.setattr("medsmith.formats.opening.available_memory", lambda: 1000)
    found, line = run(lambda: prepare(scan.parents[1], tmp_path / "none", report=lambda _: None))
    assert (found, f"{scan}: takes 6.4 KiB of memory; 1000 bytes are free" in line) == (2, True)
    monkeypatch.setattr("medsmith.formats.opening.available_memory", lambda: None)
    assert len(prepare(scan.parents[1], tmp_path / "none", report=lambda _: None)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "pydicom.pixels.apply_modality_lut",
        "pydicom.dataset.Dataset.pixel_array",
        "medsmith.formats.dicom.headers._header",
        "highdicom.spatial.get_series_volume_positions",
    ],
)
def test_memory_that_ends_while_a_slice_is_read_is_no_damage(name, tmp_path, monkeypatch, capsys):
    """Row 75."""

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(name, property(fail) if "Dataset" in name else fail)
    assert main(["prepare", str(save(tmp_path / "in", slices_of(voxels_of()))), str(tmp_path / "out")]) == 2
    assert "medsmith: out of memory; " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_places_in_a_palette_are_no_gray_values(tmp_path):
    slices = slices_of(voxels_of(), modality="MR")
    for data in slices:
        data.PhotometricInterpretation = "PALETTE COLOR"
    save(tmp_path / "in", slices)
    with pytest.raises(MedsmithError, match="1 series, none of gray slices that are placed in the patient: series 2"):
        prepare(tmp_path / "in", tmp_path / "out")
