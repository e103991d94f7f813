"""Names of channels as parts of paths."""

from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_cohorts import exported_case
from medsmith.exporting.file_names import channel_part

CHANNELS = ("../../x", "T1/post", "T1 post", "T1 post")


@given(st.text(max_size=300), st.integers(0, 200))
def test_a_name_is_one_plain_part_that_begins_with_the_number(name, channel):
    found = channel_part(channel, name)
    assert PurePath("folder", found).parts == ("folder", found)
    assert found.isascii()
    assert len(found) < 100
    assert int(found.split("-")[0]) == channel + 1


def test_every_channel_has_a_series_of_its_own_inside_the_folder(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    from medsmith.exporting.dicom import DicomWriter

    DicomWriter("20260102", "MR", structures=False, keep_identity=False)(
        exported_case(channels=CHANNELS), tmp_path / "out"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    folders = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert [path.name for path in folders] == ["01-.._.._x", "02-T1_post", "03-T1_post", "04-T1_post"]
    assert len({pydicom.dcmread(path / "0001.dcm").SeriesInstanceUID for path in folders}) == len(CHANNELS)


def test_every_channel_has_an_nrrd_file_of_its_own_inside_the_folder(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    from medsmith.exporting.nrrd import NrrdWriter

    case = exported_case(channels=CHANNELS)
    NrrdWriter("20260102")(case, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    files = sorted((tmp_path / "out").glob("image-*.nrrd"))
    assert [path.name for path in files][2:] == ["image-03-T1_post.nrrd", "image-04-T1_post.nrrd"]
    for path, gray in zip(files, case.image, strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)).transpose(2, 1, 0), gray)
