"""Segmentations and structure sets on the grid of their series."""

import numpy as np
import pytest

from medsmith.errors import FileError, MedsmithError
from medsmith.formats.dicom.series import find_dicom_files, read_series_of

pytest.importorskip("highdicom")
from dicom_files import ORIGIN, SHAPE, SPACING, cube_masks, save, segmentation, slices_of, structure_set, voxels_of
from medsmith.formats.dicom.labels import find_segments, read_labels
from medsmith.formats.dicom.volume import read_volume

MASKS = cube_masks()
JOINED = (MASKS[..., 0] + 2 * MASKS[..., 1]).transpose(2, 1, 0)


def read(folder, drawn, label_of, *, sources=None, fraction=0.5):
    """The labels of a drawn object, x y z."""
    save(folder / "ct", sources or slices_of(voxels_of()))
    save(folder / "drawn", [drawn], "SEG")
    series = {one.first.modality: one for one in read_series_of(folder, find_dicom_files(folder))}
    grid = read_volume(series["CT"]).geometry
    return read_labels(series[drawn.Modality], grid, label_of, fraction).values


def refusal(*args, **options):
    with pytest.raises(MedsmithError) as caught:
        read(*args, **options)
    return caught.value.line


def labels_map():
    return (MASKS[..., 0] + 2 * MASKS[..., 1]).astype(np.uint8)


@pytest.mark.parametrize(("kind", "pixels"), [("BINARY", MASKS), ("LABELMAP", labels_map())])
def test_empty_frames_are_restored_on_the_grid(kind, pixels, tmp_path):
    drawn = segmentation(slices_of(voxels_of()), pixels, kind=kind)
    assert int(drawn.NumberOfFrames) < SHAPE[0]
    np.testing.assert_array_equal(read(tmp_path, drawn, {1: 1, 2: 2}), JOINED)


def test_a_frame_of_a_label_map_is_decoded_once_however_many_segments_it_holds(tmp_path, monkeypatch):
    from highdicom.seg import Segmentation

    drawn, decoded = segmentation(slices_of(voxels_of()), labels_map(), kind="LABELMAP"), []
    plain = Segmentation.get_stored_frame

    def noted(self, number):
        decoded.append(number)
        return plain(self, number)

    monkeypatch.setattr(Segmentation, "get_stored_frame", noted)
    np.testing.assert_array_equal(read(tmp_path, drawn, {1: 1, 2: 2}), JOINED)
    assert sorted(decoded) == list(range(1, int(drawn.NumberOfFrames) + 1))


def test_two_frames_of_a_label_map_on_one_slice_are_refused(tmp_path):
    drawn = segmentation(slices_of(voxels_of()), labels_map(), kind="LABELMAP")
    first, second = drawn.PerFrameFunctionalGroupsSequence[:2]
    second.PlanePositionSequence = first.PlanePositionSequence
    assert "two frames lie on one slice; one frame of a label map" in refusal(tmp_path, drawn, {1: 1})


def test_segments_are_taken_and_renumbered_alone(tmp_path):
    drawn = segmentation(slices_of(voxels_of()), MASKS)
    np.testing.assert_array_equal(read(tmp_path, drawn, {2: 1}), (JOINED == 2).astype(np.uint8))


def test_the_volume_equals_highdicoms_own(tmp_path):
    slices = slices_of(voxels_of(), axes=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    drawn = segmentation(slices, MASKS, omit_empty_frames=False)
    own = drawn.get_volume(segment_numbers=[1], combine_segments=True).array.transpose(2, 1, 0)[:, :, ::-1]
    np.testing.assert_array_equal(read(tmp_path, drawn, {1: 1}, sources=slices), own)


def test_a_fraction_is_the_threshold(tmp_path):
    amount = np.zeros((*SHAPE, 1))
    amount[3, 2, 3:6, 0] = 0.2, 0.5, 0.9
    drawn = segmentation(slices_of(voxels_of()), amount, kind="FRACTIONAL", labels=["Tumor"])
    for place, fraction, voxels in ((0, 0.1, 3), (1, 0.5, 2), (2, 0.91, 0)):
        assert read(tmp_path / str(place), drawn, {1: 1}, fraction=fraction).sum() == voxels


def test_segments_are_found_by_number_label_and_description(tmp_path):
    save(tmp_path, [segmentation(slices_of(voxels_of()), MASKS)])
    (series,) = read_series_of(tmp_path, find_dicom_files(tmp_path))
    assert [one.number for wanted in (2, " TUMOR") for one in find_segments(series, wanted)] == [2, 2]
    assert find_segments(series, "kidney") == ()


def test_segments_that_overlap_are_refused(tmp_path):
    masks = MASKS.copy()
    masks[5, 7, 2, 0] = 1
    line = refusal(tmp_path, segmentation(slices_of(voxels_of()), masks), {1: 1, 2: 2})
    assert "series 7 (SEG, 2 segments): segment 2 shares 1 voxel with another" in line


def test_frames_off_the_slices_are_refused(tmp_path):
    between = slices_of(voxels_of(), origin=(ORIGIN[0], ORIGIN[1], ORIGIN[2] + 1))
    line = refusal(tmp_path, segmentation(between, MASKS), {1: 1})
    assert "a frame lies 1 mm off the slices of its series; at most 0.01 mm" in line
    small = slices_of(voxels_of(shape=(9, 10, 12)))
    line = refusal(tmp_path / "small", segmentation(small, cube_masks((9, 10, 12))), {1: 1})
    assert "frames of 12 x 10, while the series has 12 x 11" in line


def test_frames_without_a_place_are_refused(tmp_path):
    drawn = segmentation(slices_of(voxels_of()), MASKS)
    for group in (drawn.SharedFunctionalGroupsSequence[0], *drawn.PerFrameFunctionalGroupsSequence):
        group.pop("PlaneOrientationSequence", None)
    line = refusal(tmp_path, drawn, {1: 1})
    assert (
        "(SEG, 2 segments): does not say where its frames lie (StopIteration); each frame has a position, axes" in line
    )


def test_a_segmentation_without_its_type_is_refused(tmp_path):
    drawn = segmentation(slices_of(voxels_of()), MASKS)
    del drawn.SegmentationType
    line = refusal(tmp_path, drawn, {1: 1})
    assert ", file 10 of 10: is no segmentation that can be read (AttributeError); copy or export it again" in line


@pytest.mark.parametrize("number", [b"nan", b"inf"])
def test_contours_of_other_than_numbers_are_refused(number, tmp_path):
    save(tmp_path / "ct", slices_of(voxels_of()))
    drawn = structure_set(slices_of(voxels_of()), [[box((1, 4), (1, 4), 3)]])
    path = next(path for path in save(tmp_path / "rt", [drawn]).rglob("*") if path.is_file())
    data = path.read_bytes()
    at = data.index(b"\x06\x30\x50\0DS") + 8
    path.write_bytes(
        data[:at] + number + b" " * (data.index(b"\\", at) - at - len(number)) + data[data.index(b"\\", at) :]
    )
    series = {one.first.modality: one for one in read_series_of(tmp_path, find_dicom_files(tmp_path))}
    with pytest.raises(FileError, match=r"its contours cannot be read \(ValueError\); copy or export it again"):
        read_labels(series["RTSTRUCT"], read_volume(series["CT"]).geometry, {1: 1}, 0.5)


def box(x, y, z):
    """A rectangle between voxel indices on slice z, in LPS mm; x and y are ends of ranges."""
    corners = np.array([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)], float)
    return corners * [SPACING[1], SPACING[0], SPACING[2]] + ORIGIN


def test_contours_are_filled_with_holes_and_several_parts(tmp_path):
    contours = [box((1.6, 8.4), (1.6, 8.4), 4), box((3.6, 6.4), (3.6, 6.4), 4), box((9.6, 10.4), (0.6, 2.4), 4)]
    drawn = structure_set(slices_of(voxels_of()), [contours, [box((2.5, 4.5), (2.5, 5.5), 7)]])
    wanted = np.zeros(SHAPE[::-1], np.uint8)
    wanted[2:9, 2:9, 4] = 1
    wanted[4:7, 4:7, 4] = 0
    wanted[10, 1:3, 4] = 1
    wanted[3:5, 3:6, 7] = 2
    np.testing.assert_array_equal(read(tmp_path, drawn, {1: 1, 2: 2}), wanted)


def test_a_contour_of_any_shape_holds_the_centers_inside(tmp_path):
    """Against matplotlib's test of points in polygons."""
    from matplotlib.path import Path as Polygon

    turn = np.linspace(0, 2 * np.pi, 23, endpoint=False)
    reach = 3.2 + np.cos(5 * turn)
    points = np.stack([5.43 + reach * np.cos(turn), 5.21 + reach * np.sin(turn), np.full(23, 3.0)], axis=1)
    placed = points * [SPACING[1], SPACING[0], SPACING[2]] + ORIGIN
    got = read(tmp_path, structure_set(slices_of(voxels_of()), [[placed]]), {1: 1})[:, :, 3]
    grid = np.stack(np.meshgrid(np.arange(12), np.arange(11), indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(got, Polygon(points[:, :2]).contains_points(grid).reshape(12, 11))


@pytest.mark.parametrize(
    ("contour", "kind", "words"),
    [
        (box((2, 5), (2, 5), 4.5), "CLOSED_PLANAR", "a contour of ROI 1 lies 0.5 slices off slice 4 of its series"),
        (box((2, 5), (2, 5), 12), "CLOSED_PLANAR", "a contour of ROI 1 lies outside the series"),
        (box((20, 25), (2, 5), 4), "CLOSED_PLANAR", "a contour of ROI 1 lies outside the series"),
        (box((2, 5), (2, 5), 4)[:1], "POINT", "ROI 1 has no closed planar contour"),
    ],
)
def test_contours_that_are_not_on_slices_are_refused(contour, kind, words, tmp_path):
    line = refusal(tmp_path, structure_set(slices_of(voxels_of()), [[contour]], kind=kind), {1: 1})
    assert words in line
    assert "series 8 (RTSTRUCT, 1 ROI)" in line
