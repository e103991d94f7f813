"""Organs: TotalSegmentator's names, groups, synonyms, and the place of a lesion in its organ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.reports.organs import (
    GROUPS,
    HOLLOW,
    ORGANS,
    V1,
    V2,
    cavity_of,
    find_organ,
    is_hollow,
    is_lesion,
    labels_of,
    members_of,
    share_outside,
)


def test_totalsegmentator_numbers() -> None:
    assert (len(V1), len(V2)) == (104, 117)
    assert [V1[value] for value in (1, 2, 18, 41, 50, 57, 69, 70, 93, 104)] == [
        "spleen",
        "kidney_right",
        "vertebrae_L5",
        "vertebrae_C1",
        "brain",
        "colon",
        "rib_left_12",
        "rib_right_1",
        "face",
        "urinary_bladder",
    ]
    assert [V2[value] for value in (7, 21, 24, 26, 51, 64, 79, 90, 92, 115, 117)] == [
        "pancreas",
        "urinary_bladder",
        "kidney_cyst_right",
        "vertebrae_S1",
        "heart",
        "portal_vein_and_splenic_vein",
        "spinal_cord",
        "brain",
        "rib_left_1",
        "rib_right_12",
        "costal_cartilages",
    ]
    assert all(len(set(names.values())) == len(names) for names in (V1, V2))


@pytest.mark.parametrize(
    ("phrase", "organ"),
    [
        ("right kidney", "kidney_right"),
        ("Right renal", "kidney_right"),
        ("kidney_left", "kidney_left"),
        ("kidneys", "kidney"),
        ("renal", "kidney"),
        ("gall bladder", "gallbladder"),
        ("bladder", "urinary_bladder"),
        ("oesophagus", "esophagus"),
        ("left upper lobe", "lung_upper_lobe_left"),
        ("middle lobe of the right lung", "lung_middle_lobe_right"),
        ("lung left", "lung_left"),
        ("vertebrae_L3", "vertebrae_L3"),
        ("soft tissue", "soft_tissue"),
        ("knee", None),
    ],
)
def test_phrases(phrase: str, organ: str | None) -> None:
    assert find_organ(phrase) == organ


@given(st.sampled_from(ORGANS))
def test_every_name_finds_itself(organ: str) -> None:
    assert find_organ(organ) == organ
    assert find_organ(organ.replace("_", " ").upper()) == organ
    assert set(GROUPS.get(organ, ())) <= set(ORGANS)


@given(st.sampled_from(ORGANS), st.sampled_from([V1, V2]))
def test_labels_of_a_totalsegmentator_map(organ: str, names: dict[int, str]) -> None:
    values = labels_of(organ, {name: value for value, name in names.items()})
    assert values == tuple(value for value, name in names.items() if name in members_of(organ))
    assert 0 not in values


@pytest.mark.parametrize(
    ("organ", "labels", "values"),
    [
        ("kidney", {"background": 0, "Kidney": 1, "tumour": 2}, (1,)),
        ("kidney_left", {"kidney": 1}, ()),
        ("kidney", {"left kidney": 4, "kidney_right": 2, "kidney_cyst_left": 9}, (2, 4)),
        ("renal", {"kidney": 3}, (3,)),
        ("lung", {"lung_left": 1, "lung_lower_lobe_right": 2, "liver": 3}, (1, 2)),
        ("bladder", {"urinary_bladder": 7}, (7,)),
        ("lung", {"Lungs": 1, "bone": 2}, (1,)),
        ("phantom organ", {"phantom_organ": 5}, (5,)),
        ("liver", {"liver": 0}, ()),
    ],
)
def test_labels_of_a_cohort(organ: str, labels: dict[str, int], values: tuple[int, ...]) -> None:
    assert labels_of(organ, labels) == values


@pytest.mark.parametrize("name", ["lesion", "tumour", "Tumors", "kidney_cyst_left", "gross tumour volume", "GTV-1"])
def test_labels_of_lesions(name: str) -> None:
    assert is_lesion(name)


@pytest.mark.parametrize("name", ["background", "kidney", "gallbladder", "liver", "vertebrae_L1", "soft_tissue"])
def test_labels_that_are_no_lesions(name: str) -> None:
    assert not is_lesion(name)


def test_no_organ_is_a_lesion() -> None:
    assert not any(is_lesion(organ) for organ in ORGANS)
    assert set(ORGANS) >= HOLLOW


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 4.0)])
@pytest.mark.parametrize("covered", [True, False])
def test_share_outside_counts_faces(spacing: tuple[float, float, float], covered: bool) -> None:
    organ = np.zeros((20, 20, 20), bool)
    organ[:10] = True
    lesion = np.zeros_like(organ)
    lesion[6:12, 5:9, 4:10] = True
    if not covered:
        organ &= ~lesion
    x, y, z = (float(edge) * step for edge, step in zip((6, 4, 6), spacing, strict=True))
    side = 2 * (x * y + x * z)
    expected = (y * z + side * 2 / 6) / (2 * y * z + side)
    assert share_outside(lesion, organ, spacing) == pytest.approx(expected)


def test_share_outside_at_its_ends() -> None:
    lesion = np.zeros((9, 9, 9), bool)
    lesion[3:6, 3:6, 3:6] = True
    assert share_outside(lesion, np.ones_like(lesion), (1.0, 1.0, 1.0)) == 0
    assert share_outside(lesion, lesion, (1.0, 1.0, 1.0)) == 1
    with pytest.raises(ValueError, match="empty"):
        share_outside(np.zeros_like(lesion), lesion, (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("organ", "lesion_type", "outside", "cavity"),
    [
        ("gallbladder", "gallstone", 0.0, "within the lumen of a hollow organ"),
        ("gallbladder", "gallbladder cancer", 0.9, "wall thickening"),
        ("colon", None, 0.0, "wall thickening"),
        ("bladder", None, 0.0, "wall thickening"),
        ("kidney_left", "kidney stone", 0.1, "within the parenchymal organ"),
        ("kidney", "kidney cyst", 0.3, "protruding from the parenchymal organ"),
        ("liver", None, 0.0, "within the parenchymal organ"),
    ],
)
def test_place_in_the_organ(organ: str, lesion_type: str | None, outside: float, cavity: str) -> None:
    assert cavity_of(organ, lesion_type, outside) == cavity
    assert is_hollow(organ) == (cavity in {"wall thickening", "within the lumen of a hollow organ"})
