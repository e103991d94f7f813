"""Several volumes in one series: told apart by what the slices say, chosen by number, or refused by name."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from medsmith.errors import GeometryError
from medsmith.formats.dicom.series import find_dicom_files, read_series_of
from medsmith.formats.dicom.volume import read_volume
from medsmith.formats.volume import ReadOptions

pytest.importorskip("highdicom")
from pydicom.dataset import Dataset

from dicom_files import new_dataset, save, slices_of, uid, voxels_of

LIMIT = "one volume per series"


def series_in(folder):
    (found,) = read_series_of(folder, find_dicom_files(folder))
    return found


def volumes_of(*attributes):
    """Slices of one series, a volume for each mapping of attributes; every volume has voxels of its own."""
    series = []
    for number, values in enumerate(attributes):
        for index, data in enumerate(slices_of(voxels_of(number), modality="MR", intercept=0)):
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("volume", number, index)
            for name, value in values.items():
                setattr(data, name, value)
            series.append(data)
    return series


TOLD_APART: dict[str, list[dict[str, Any]]] = {
    "temporal positions": [{"TemporalPositionIdentifier": place} for place in (3, 1, 10)],
    "acquisitions": [{"AcquisitionNumber": number} for number in (2, 1)],
    "echoes": [{"EchoTime": time} for time in ("4.6", "2.3", "12.5")],
    "b-values": [{"DiffusionBValue": value} for value in (800.0, 0.0)],
    "image types": [{"ImageType": ["DERIVED", "PRIMARY", kind]} for kind in ("WATER", "FAT")],
    "acquisitions and echoes": [
        {"AcquisitionNumber": number, "EchoNumbers": echo} for number, echo in product((1, 2), (1, 2))
    ],
}


@pytest.mark.parametrize("kind", TOLD_APART)
def test_volumes_of_one_series_are_named_and_one_is_chosen(kind, tmp_path):
    values = TOLD_APART[kind]
    found = series_in(save(tmp_path, volumes_of(*values)))
    line = f"{len(values)} volumes in one series, told apart by {kind}"
    with pytest.raises(GeometryError) as caught:
        read_volume(found)
    cure = f"pass --volume K, 0 to {len(values) - 1}, in the order of these"
    assert caught.value.line == f"{found.subject}: {line}; {LIMIT}; {cure}"
    order = sorted(range(len(values)), key=lambda number: [_sortable(value) for value in values[number].values()])
    for place, number in enumerate(order):
        chosen = read_volume(found, ReadOptions(volume=place))
        np.testing.assert_array_equal(chosen.values, voxels_of(number).transpose(2, 1, 0))
        assert chosen.notes == (f"volume {place} of {line}",)
    with pytest.raises(GeometryError, match=f"volume {len(values)} of {line}; choose 0 to {len(values) - 1}"):
        read_volume(found, ReadOptions(volume=len(values)))


def _sortable(value):
    return float(value) if not isinstance(value, list) else value


def test_acquisitions_of_other_regions_that_overlap_are_volumes_of_their_own(tmp_path):
    both = volumes_of({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2})
    for data in both[9:]:
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y, f"{float(z) + 5 * 2.5:.6f}"]
    found = series_in(save(tmp_path, both))
    first, second = (read_volume(found, ReadOptions(volume=place)) for place in (0, 1))
    np.testing.assert_array_equal(second.values, voxels_of(1).transpose(2, 1, 0))
    assert second.geometry.affine[2, 3] - first.geometry.affine[2, 3] == pytest.approx(5 * 2.5)


def test_a_number_for_each_slice_tells_no_volumes_apart(tmp_path):
    slices = volumes_of({}, {})
    for number, data in enumerate(slices):
        data.AcquisitionNumber = number
    found = series_in(save(tmp_path, slices))
    for volume in (None, 0):
        with pytest.raises(GeometryError) as caught:
            read_volume(found, ReadOptions(volume=volume))
        assert caught.value.line == (
            f"{found.subject}: 18 slices at 9 positions, up to 2 at one, and neither temporal positions, acquisitions, "
            f"echoes, b-values, trigger times, inversion times nor image types tell 2 volumes apart; {LIMIT}; "
            "keep the files of one volume"
        )


def test_a_volume_is_no_choice_where_there_is_one(tmp_path):
    found = series_in(save(tmp_path, slices_of(voxels_of())))
    np.testing.assert_array_equal(read_volume(found, ReadOptions(volume=0)).values, read_volume(found).values)


def test_another_volume_than_the_only_one_is_refused(tmp_path):
    found = series_in(save(tmp_path, slices_of(voxels_of())))
    with pytest.raises(GeometryError) as caught:
        read_volume(found, ReadOptions(volume=3))
    assert caught.value.line == (
        f"{tmp_path}, series 2 (CT, 9 slices of 12 x 11): has one volume, not volume 3; volumes are counted from 0; "
        "leave out --volume, or prepare scans of several volumes apart"
    )


def test_frames_of_several_volumes_in_one_file_are_counted(tmp_path):
    single = slices_of(voxels_of(), modality="MR", intercept=0)
    data = new_dataset("1.2.840.10008.5.1.4.1.1.4.1", uid("frames"), "MR")
    for name in (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
    ):
        setattr(data, name, getattr(single[0], name))
    data.HighBit, data.PixelRepresentation, data.NumberOfFrames, data.ImageType = 15, 1, 18, ["ORIGINAL", "PRIMARY"]
    data.PixelData = b"".join(one.PixelData for one in single) * 2
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = single[0].PixelSpacing, single[0].SliceThickness
    orientation.ImageOrientationPatient = single[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = []
    for number, index in product((1, 2), range(9)):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = single[index].ImagePositionPatient
        content.TemporalPositionIndex, content.DimensionIndexValues = number, [number, index + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        data.PerFrameFunctionalGroupsSequence.append(frame)
    found = series_in(save(tmp_path, [data]))
    with pytest.raises(
        GeometryError, match="18 frames at 9 positions, 2 temporal positions; one frame per position; ex"
    ):
        read_volume(found)
