"""Agreement of label maps over moves; without them see the tests of 3D-LLDM's copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.data.label_agreement import centered_map, dice_of, moved_agreements


def blob(center, radii, shape=(32, 32, 1)):
    axes = np.indices(shape).astype(float) - np.reshape(center, (3, 1, 1, 1))
    return (sum((a / r) ** 2 for a, r in zip(axes, radii, strict=True)) < 1).astype(np.uint8)


@settings(deadline=None)
@given(st.integers(0, 7), st.integers(-6, 6), st.integers(-6, 6))
def test_a_shifted_and_turned_map_agrees_wholly(symmetry, x, y):
    map_ = blob((14, 17, 0), (6, 3, 1)) + blob((12, 16, 0), (2, 1.5, 1))
    moved = np.roll(map_, (x, y), (0, 1))
    moved = moved.swapaxes(0, 1) if symmetry & 4 else moved
    moved = np.flip(moved, tuple(axis for axis in (0, 1) if symmetry & (1 << axis)))
    found = moved_agreements(centered_map(moved.copy()), centered_map(map_)[None])
    assert found[0] == 1


def test_labels_count_and_other_shapes_agree_less():
    one, other = (centered_map(blob((16, 16, 0), radii)) for radii in ((8, 4, 1), (6, 6, 1)))
    agreement = moved_agreements(one, np.stack([one * 2, other]))
    assert agreement[0] == 0
    same, either = ((one > 0) & (other > 0)).sum(), ((one > 0) | (other > 0)).sum()
    assert same / either == pytest.approx(agreement[1], abs=0.05)
    assert dice_of(same / either) == pytest.approx(2 * same / (one.sum() + other.sum()))


def test_volumes_and_empty_maps():
    map_ = blob((8, 8, 6), (4, 3, 2), (16, 16, 12))
    empty = centered_map(np.zeros((16, 16, 12), np.uint8))
    assert moved_agreements(centered_map(map_[:, :, ::-1].copy()), centered_map(map_)[None])[0] == 1
    assert moved_agreements(empty, empty[None])[0] == 0
