"""NRRD files, read back by SimpleITK, and the options of an export."""

import re
from dataclasses import replace

import numpy as np
import pytest

from export_cohorts import OBLIQUE, cohort_of, exported_case
from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError, GeometryError, RequestError
from medsmith.exporting import ExportOptions, export
from medsmith.geometry import Geometry

LPS = np.diag([-1.0, -1.0, 1.0])
OPTIONS = ExportOptions(format="nrrd", date="20260102")


def test_images_and_segmentation_keep_voxels_place_and_names(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    case = exported_case(synthetic=True)
    export(cohort_of(tmp_path / "in", case), tmp_path / "out", OPTIONS)
    folder = tmp_path / "out" / "one"
    for name, wanted in (("image-01-CT.nrrd", case.image[0]), ("labels.seg.nrrd", case.labels)):
        found = sitk.ReadImage(folder / name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found).transpose(2, 1, 0), wanted)
        place = np.array(found.GetDirection()).reshape(3, 3) * found.GetSpacing()
        np.testing.assert_allclose(LPS @ place, OBLIQUE[:3, :3], atol=1e-9)
        np.testing.assert_allclose(LPS @ np.array(found.GetOrigin()), OBLIQUE[:3, 3], atol=1e-9)
        assert "not for diagnosis" in found.GetMetaData("medsmith")
    assert found.GetMetaData("Segment1_Name") == "liver_tumor"
    assert found.GetMetaData("Segment1_LabelValue") == "2"
    assert sitk.ReadImage(folder / "image-01-CT.nrrd").GetPixelID() == sitk.sitkInt16


def test_the_label_list_of_itk_snap_names_every_label(tmp_path):
    pytest.importorskip("SimpleITK")
    export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out", OPTIONS)
    lines = (tmp_path / "out" / "labels.txt").read_text().splitlines()
    pattern = re.compile(r'^\s*(\d+)(?:\s+\d+){3}\s+[01]\s+[01]\s+[01]\s+"(.*)"$')
    found = {int(match[1]): match[2] for match in map(pattern.match, lines) if match}
    assert found == {0: "Clear Label", 1: "liver", 2: "liver_tumor"}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"format": "jpeg"}, r"--format: 'jpeg'; one of dicom, nrrd; choose one"),
        ({"date": "2026-01-02"}, r"--date: '2026-01-02'; YYYYMMDD; correct it"),
        ({"date": "20260231"}, r"--date: '20260231'; YYYYMMDD; correct it"),
        ({"modality": "PT"}, r"--modality: 'PT'; CT or MR can be written; choose one"),
    ],
)
def test_wrong_options_are_refused(options, line):
    with pytest.raises(RequestError, match=line):
        ExportOptions(**options)


def test_options_of_dicom_are_refused_for_nrrd(tmp_path):
    pytest.importorskip("SimpleITK")
    cohort = cohort_of(tmp_path / "in", exported_case())
    with pytest.raises(RequestError, match="--rtstruct: format nrrd; it is of DICOM alone; leave it out"):
        export(cohort, tmp_path / "out", ExportOptions(format="nrrd", structures=True))
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RequestError, match=r"SimpleITK is not installed; nrrd needs it; install it: pip install"):
        export(cohort_of(tmp_path / "in", exported_case()), tmp_path / "out", OPTIONS)


def test_a_refused_export_does_not_take_the_folder(tmp_path):
    pytest.importorskip("highdicom")
    pytest.importorskip("SimpleITK")
    case, names = exported_case(channels=("MR",), stored=np.uint8), {"background": 0}
    pixels = np.clip(case.image[..., :1], 0, 255)
    slide = replace(case, image=pixels, labels=None, label_names=names, geometry=Geometry.plain(pixels.shape[1:]))
    cohort = Cohort.create(tmp_path / "in", channel_names=("MR",), label_names=names, file_ending=".png")
    cohort.write(slide)
    cohort.finish()
    with pytest.raises(GeometryError, match="voxel sizes in mm are unknown"):
        export(cohort, tmp_path / "out", ExportOptions(date="20260102"))
    assert not (tmp_path / "out").exists()
    export(cohort, tmp_path / "out", OPTIONS)
    assert (tmp_path / "out" / "one").is_dir()


def test_a_full_disk_gives_one_line_and_no_file(tmp_path, monkeypatch):
    sitk = pytest.importorskip("SimpleITK")
    from medsmith.exporting.nrrd import NrrdWriter

    def full(*_args, **_options):
        raise RuntimeError("Exception thrown in SimpleITK\nin ImageFileWriter: file write failed")

    monkeypatch.setattr(sitk, "WriteImage", full)
    with pytest.raises(FileError, match=r"image-01-CT.nrrd: cannot be written .*; free or choose another disk$"):
        NrrdWriter("20260102")(exported_case(), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
