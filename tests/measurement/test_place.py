"""Where a lesion lies: organ, depth, neighbours, and what it does to a hollow organ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.measurement.lesions import box_around, find_lesions
from medsmith.measurement.place import measure_place

NAMES = {"background": 0, "liver": 1, "stomach": 2, "kidney_left": 3, "lesion": 4, "cyst": 5}
MM = (1.0, 1.0, 1.0)


def ball_at(shape, center, radius, spacing=MM):
    places = [(np.arange(n) - c) * e for n, c, e in zip(shape, center, spacing, strict=True)]
    x, y, z = np.meshgrid(*places, indexing="ij")
    return x**2 + y**2 + z**2 <= radius**2


def liver_with(center, radius=5.0):
    """A liver of 40 mm with one lesion, a kidney to its right."""
    labels = np.zeros((64, 48, 48), dtype=np.uint8)
    labels[4:44, 4:44, 4:44] = 1
    labels[52:62, 10:30, 10:30] = 3
    mask = ball_at(labels.shape, center, radius)
    labels[mask] = 4
    return mask, labels


def test_a_lesion_deep_in_its_organ():
    mask, labels = liver_with((24, 24, 24))
    found = measure_place(mask, labels, NAMES, MM)
    assert (found.organ, found.share_outside) == ("liver", 0)
    assert found.border_distance_mm == pytest.approx(24 - 4 - 5, abs=1.01)
    assert found.neighbour is None
    assert found.neighbours_known
    assert found.encircled_share is None


@pytest.mark.parametrize(("center", "low", "high"), [((43, 24, 24), 0.4, 0.65), ((40, 24, 24), 0.12, 0.35)])
def test_a_lesion_that_leaves_its_organ(center, low, high):
    mask, labels = liver_with(center)
    found = measure_place(mask, labels, NAMES, MM)
    assert found.organ == "liver"
    assert low < found.share_outside < high
    assert found.border_distance_mm == 0


def test_tissue_between_organs_is_no_organ_unless_no_organ_is_next_to_the_lesion():
    names = NAMES | {"fat": 6, "soft_tissue": 7}
    mask, labels = liver_with((45, 24, 24), radius=8.0)
    labels[labels == 0] = 6
    found = measure_place(mask, labels, names, MM)
    assert (found.organ, found.neighbour) == ("liver", "kidney_left")
    alone, labels = liver_with((24, 24, 24))
    labels[~alone] = 7
    assert measure_place(alone, labels, names, MM).organ == "soft_tissue"


def test_the_organ_that_a_lesion_was_put_into_counts_beside_another_one():
    """A lesion in soft tissue beside bone was measured against the bone."""
    names = NAMES | {"fat": 6, "soft_tissue": 7}
    mask, labels = liver_with((45, 24, 24), radius=8.0)
    labels[labels == 0] = 7
    assert measure_place(mask, labels, names, MM).organ == "liver"
    found = measure_place(mask, labels, names, MM, known="soft_tissue")
    assert (found.organ, found.neighbour, found.neighbour_distance_mm) == ("soft_tissue", "liver", 0)
    assert measure_place(mask, labels, names, MM, known="stomach").organ == "liver"  # it is not next to the lesion


@pytest.mark.parametrize("gap", [0, 1, 3, 6])
def test_the_gap_to_a_neighbour(gap):
    mask, labels = liver_with((52 - 6 - gap, 20, 20))
    found = measure_place(mask, labels, NAMES, MM)
    assert found.neighbour == "kidney_left"
    assert found.neighbour_distance_mm == pytest.approx(gap, abs=0.3)


def test_parts_of_one_group_are_no_neighbours():
    names = {"background": 0, "lung_upper_lobe_left": 1, "lung_lower_lobe_left": 2, "nodule": 3}
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[:, :, :13], labels[:, :, 13:] = 1, 2
    mask = ball_at(labels.shape, (15, 15, 15), 4)
    labels[mask] = 3
    found = measure_place(mask, labels, names, MM)
    assert found.organ == "lung_lower_lobe_left"
    assert found.neighbour is None


def test_a_label_that_names_its_organ_is_believed():
    mask, labels = liver_with((24, 24, 24))
    assert measure_place(mask, labels, NAMES, MM, "kidney_left_cyst").organ == "kidney_left"
    assert measure_place(mask, labels, NAMES, MM, "gross tumour volume").organ == "liver"


def test_nothing_is_known_without_organs():
    mask = ball_at((20, 20, 20), (10, 10, 10), 4)
    found = measure_place(mask, mask.astype(np.uint8), {"background": 0, "nodule": 1}, MM)
    assert (found.organ, found.share_outside, found.border_distance_mm, found.neighbour) == (None,) * 4
    assert not found.neighbours_known


def hollow_with(draw):
    """A stomach (a tube of 20 mm radius along z, its label holds wall and lumen) with a lesion."""
    labels = np.zeros((60, 60, 60), dtype=np.uint8)
    x, y, z = np.indices(labels.shape) - 29.5
    radius = np.sqrt(x**2 + y**2)
    labels[radius <= 20] = 2
    mask = draw(x, y, z, radius)
    labels[mask] = 4
    return measure_place(mask, labels, NAMES, MM)


def test_rings_plaques_and_polyps_in_a_hollow_organ():
    ring = hollow_with(lambda _x, _y, z, r: (r <= 20) & (r > 12) & (np.abs(z) < 15))
    plaque = hollow_with(lambda x, y, z, r: (r <= 20) & (r > 15) & (np.abs(z) < 12) & (np.abs(np.arctan2(y, x)) < 0.7))
    polyp = hollow_with(lambda x, y, z, r: ((x - 12) ** 2 + y**2 + z**2 <= 49) & (r <= 20))
    assert [found.organ for found in (ring, plaque, polyp)] == ["stomach"] * 3
    assert ring.encircled_share == 1
    assert plaque.encircled_share < 0.6
    assert polyp.encircled_share == 0
    assert plaque.depth_share < 0.2
    assert polyp.depth_share > 0.4


@settings(max_examples=8, deadline=None)
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3))
def test_flips_and_permutations_change_nothing(order, flips):
    mask, labels = liver_with((41, 24, 20))
    turn = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    spacing = (1.0, 1.5, 0.7)
    first = measure_place(mask, labels, NAMES, spacing)
    x, y, z = (spacing[axis] for axis in order)
    second = measure_place(mask.transpose(order)[turn], labels.transpose(order)[turn], NAMES, (x, y, z))
    assert second.organ == first.organ
    assert second.share_outside == pytest.approx(first.share_outside)
    assert second.border_distance_mm == pytest.approx(first.border_distance_mm)
    assert second.neighbour_distance_mm == pytest.approx(first.neighbour_distance_mm)


def test_lesions_are_found_one_by_one_the_largest_first():
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[2:38, 2:38, 2:38] = 1
    labels[ball_at(labels.shape, (10, 10, 10), 3)] = 4
    labels[ball_at(labels.shape, (28, 28, 28), 6)] = 5
    labels[ball_at(labels.shape, (28, 10, 10), 4)] = 4
    labels[20, 20, 20] = 4
    found = find_lesions(labels, NAMES, MM)
    assert [lesion.label for lesion in found] == ["cyst", "lesion", "lesion"]
    sizes = [int(lesion.mask.sum()) for lesion in found]
    assert sizes == sorted(sizes, reverse=True)
    for lesion in found:
        whole = lesion.within((slice(0, 40),) * 3)
        assert (labels[whole] == NAMES[lesion.label]).all()
        box = box_around(lesion.box, labels.shape, 15.0, MM)
        assert lesion.within(box).sum() == lesion.mask.sum()


def test_voxels_that_touch_at_a_corner_are_one_lesion():
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[2:5, 2:5, 2:5] = labels[5:8, 5:8, 5:8] = 4
    assert len(find_lesions(labels, NAMES, MM)) == 1


def test_coarse_voxels_make_small_stones_visible_and_fine_crumbs_not():
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[5, 5, 4:7] = 4
    assert len(find_lesions(labels, NAMES, (1.5, 1.5, 1.5))) == 1
    assert len(find_lesions(labels, NAMES, (0.5, 0.5, 0.5))) == 0


def test_half_a_ring_covers_half_and_a_few_voxels_nothing():
    def flat(x, _y, z, r):
        return (np.abs(z) < 3) & (r <= 20) & (r > 16) & (x > 0)

    assert 0.4 < hollow_with(flat).encircled_share < 0.75
    labels = np.full((10, 10, 10), 2, dtype=np.uint8)
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[5, 5, 5:8] = True
    labels[mask] = 4
    assert measure_place(mask, labels, NAMES, MM).encircled_share == 0
