"""Limbs: the tumor is where and as large as the report says, tissues have their values, MR and CT are one patient."""

import numpy as np
import pytest
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.errors import RequestError
from medsmith.phantoms.family import case_seed
from medsmith.phantoms.limb.anatomy import sample_limb
from medsmith.phantoms.limb.phantom import LimbCtPhantom, LimbMrPhantom
from medsmith.phantoms.limb.render import LABELS
from medsmith.phantoms.limb.tumor import bulging
from medsmith.phantoms.limb.values import CT_HU

CT, MR = LimbCtPhantom(), LimbMrPhantom()
SEEDS = [case_seed("limb", 0, index) for index in range(12)]


@pytest.fixture(scope="module")
def scans() -> list[Case]:
    return [CT.make(seed, f"limb-{seed}", 40) for seed in SEEDS]


def lesion_of(case: Case) -> np.ndarray:
    return np.asarray(case.require_labels() == LABELS["lesion"])


def test_the_tumor_fills_the_box_that_the_report_states(scans: list[Case]) -> None:
    for case in scans:
        assert case.report is not None
        found = np.argwhere(lesion_of(case))
        edges = (np.ptp(found, axis=0) + 1) * np.array(case.geometry.spacing)
        said = np.array(case.report["lesions"][0]["size_mm"])
        voxel = np.array(case.geometry.spacing)
        assert (edges <= said + 2 * voxel).all()
        assert (edges >= 0.6 * said - 2 * voxel).all()  # bones may lie in its way


def test_the_whole_tumor_is_shown_with_a_margin(scans: list[Case]) -> None:
    for case in scans:
        for axis in range(3):
            ends = np.take(lesion_of(case), (0, -1), axis)
            assert not ends.any()


def test_the_tumor_lies_below_the_skin_and_not_in_bone(scans: list[Case]) -> None:
    for case in scans:
        labels = case.require_labels()
        beside = ndimage.binary_dilation(lesion_of(case), np.ones((3, 3, 1), np.bool_)) & ~lesion_of(case)
        assert (labels[beside] != LABELS["background"]).mean() > 0.8  # the skin is thinner than a voxel
        image = case.require_image()[0]
        assert np.percentile(image[lesion_of(case)], 99) < 400  # no cortex


@pytest.mark.parametrize("tissue", ["fat", "muscle"])
def test_tissues_have_their_ct_values(scans: list[Case], tissue: str) -> None:
    low, high = CT_HU[tissue]
    for case in scans:
        inside = ndimage.binary_erosion(case.require_labels() == LABELS[tissue], iterations=2)
        if inside.sum() > 200:
            assert low - 15 < np.median(case.require_image()[0][inside]) < high + 15


def test_air_is_air_and_values_are_whole(scans: list[Case]) -> None:
    for case in scans:
        image = case.require_image()[0]
        outside = ndimage.binary_erosion(case.require_labels() == 0, iterations=3)
        if outside.any():
            assert np.median(image[outside]) < -900
        np.testing.assert_array_equal(image, np.rint(image))


def test_mr_and_ct_of_a_seed_are_one_patient(scans: list[Case]) -> None:
    for seed, scan in zip(SEEDS[:4], scans, strict=False):
        other = MR.make(seed, "limb", 40)
        assert other.report is not None
        assert scan.report is not None
        assert other.report["lesions"] == scan.report["lesions"]
        volumes = [lesion_of(case).sum() * np.prod(case.geometry.spacing) for case in (scan, other)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
        image, labels = other.require_image()[0], other.require_labels()
        assert np.median(image[labels == LABELS["fat"]]) > 1.5 * np.median(image[labels == LABELS["muscle"]])


def test_the_size_changes_the_resolution_alone() -> None:
    volumes = []
    for size in (32, 64):
        case = MR.make(SEEDS[1], "limb", size)
        volumes.append(lesion_of(case).sum() * np.prod(case.geometry.spacing))
        assert case.geometry.shape == (size, size, size)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_a_seed_gives_the_same_case_again() -> None:
    first, again, other = (MR.make(seed, "limb", 24) for seed in (SEEDS[0], SEEDS[0], SEEDS[1]))
    np.testing.assert_array_equal(first.require_image(), again.require_image())
    assert not np.array_equal(first.require_image(), other.require_image())


def test_most_tumors_are_alike_in_kind_and_depth_to_the_stated_shares() -> None:
    reports = [MR.make(case_seed("limb", 1, index), "limb", 16).report for index in range(80)]
    lesions = [report["lesions"][0] for report in reports if report is not None]
    assert np.mean([lesion["depth"] == "deep" for lesion in lesions]) == pytest.approx(0.7, abs=0.16)
    assert np.mean([lesion["kind"] == "like muscle" for lesion in lesions]) == pytest.approx(0.75, abs=0.16)


def test_a_bulge_is_the_smooth_union_of_skin_and_shell() -> None:
    far, near = np.array([[[40.0]]], np.float32), np.array([[[-30.0]]], np.float32)
    assert bulging(far, near, 3.0).item() == pytest.approx(-33.0, abs=0.01)
    assert bulging(near, far, 3.0).item() == pytest.approx(-30.0, abs=0.01)
    same = np.array([[[5.0]]], np.float32)
    assert bulging(same, same, 0.0).item() == pytest.approx(5 - 8 * np.log(2), abs=1e-5)


def test_a_limb_has_room_for_its_tumor() -> None:
    assert min(sample_limb(seed, 120.0).radius for seed in SEEDS) == 120.0


def test_a_size_that_is_not_rendered_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^phantom limb-mr: size 8; sizes go from 16 to 160; change --size$"):
        MR.make(0, "limb", 8)
