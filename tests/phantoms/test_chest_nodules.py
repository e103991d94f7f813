"""Nodules of the chest phantoms: where they lie, what the report says of them, and twins without them."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.phantoms.chest.anatomy import LABELS, sample_anatomy
from medsmith.phantoms.chest.lungs import thin_cover
from medsmith.phantoms.chest.nodule_kinds import COUNT_SHARES, DENSITY_SHARES, DIAMETER_LIMITS_MM, SHAPES
from medsmith.phantoms.chest.nodules import Nodule, sample_nodules
from medsmith.phantoms.families import find_family
from medsmith.phantoms.solids import Tubes
from medsmith.phantoms.space import Grid
from narrowing import present

NODULE = len(LABELS)
SEEDS = range(36)
SIZE = 192


@cache
def nodules_of(seed: int) -> tuple[Nodule, ...]:
    return sample_nodules(sample_anatomy(seed), seed)


@cache
def made(family: str, seed: int) -> Case:
    return find_family(family).make(seed, "x", SIZE)


def with_nodules(count: int) -> list[int]:
    return [seed for seed in SEEDS if nodules_of(seed)][:count]


def test_the_label_is_the_last_and_absent_in_healthy_twins() -> None:
    assert find_family("chest").label_names == {**LABELS, "nodule": NODULE}
    assert find_family("chest-healthy").label_names == LABELS


def test_a_healthy_twin_differs_by_the_nodules_alone() -> None:
    for seed in with_nodules(3):
        ill, healthy = made("chest", seed), made("chest-healthy", seed)
        mask = ill.require_labels()[:, :, 0] == NODULE
        assert mask.any()
        assert present(healthy.report)["lesions"] == []
        np.testing.assert_array_equal(ill.require_labels()[~mask], healthy.require_labels()[~mask])
        np.testing.assert_array_equal(ill.geometry.affine, healthy.geometry.affine)
        changed = (ill.require_image() != healthy.require_image())[0, :, :, 0]
        away = ndimage.distance_transform_edt(~mask) * ill.geometry.spacing[0]
        margin = max(lesion["margin_width_mm"] for lesion in lesions(ill))
        assert not changed[away > margin + 6].any()
        assert changed[mask].mean() > 0.9


def lesions(case: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = present(case.report)["lesions"]
    return found


def test_nodules_lie_in_the_lung() -> None:
    for seed in with_nodules(6):
        mask = made("chest", seed).require_labels()[:, :, 0] == NODULE
        healthy = made("chest-healthy", seed).require_labels()[:, :, 0]
        assert (healthy[mask] == LABELS["lung"]).mean() > 0.97
        for lesion in lesions(made("chest", seed)):
            side = 1 if lesion["lung"] == "right" else -1
            assert side * lesion["center_mm"][0] > 0


def test_the_report_has_the_area_of_the_mask() -> None:
    for seed in with_nodules(6):
        case = made("chest", seed)
        pixel = case.geometry.spacing[0] ** 2
        area = sum(lesion["area_mm2"] for lesion in lesions(case))
        edge = sum(np.pi * lesion["longest_diameter_mm"] for lesion in lesions(case))
        mask = case.require_labels()[:, :, 0] == NODULE
        assert mask.sum() * pixel == pytest.approx(area, abs=0.25 * edge * np.sqrt(pixel))
        assert all(lesion["equivalent_diameter_mm"] <= lesion["longest_diameter_mm"] + 0.5 for lesion in lesions(case))


def test_diameters_are_within_the_limits() -> None:
    drawn = [nodule for seed in SEEDS for nodule in nodules_of(seed)]
    equal = np.array([nodule.measured["equivalent_diameter_mm"] for nodule in drawn])
    whole = np.array([nodule.place != "pleura" for nodule in drawn])
    assert equal.max() <= DIAMETER_LIMITS_MM[1] + 0.1
    assert equal[whole].min() >= DIAMETER_LIMITS_MM[0] - 0.1
    assert equal.min() > 0.6 * DIAMETER_LIMITS_MM[0]
    assert {nodule.shape for nodule in drawn} == set(SHAPES)
    assert {nodule.density for nodule in drawn} == set(DENSITY_SHARES)


def test_six_cases_in_ten_have_nodules() -> None:
    counts = np.bincount([len(nodules_of(seed)) for seed in SEEDS], minlength=4) / len(SEEDS)
    np.testing.assert_allclose(counts, COUNT_SHARES, atol=0.22)
    assert len(counts) == 4


def test_the_density_in_the_picture_is_that_of_the_report() -> None:
    found = 0
    for seed in SEEDS[:16]:
        for nodule in nodules_of(seed):
            if nodule.measured["equivalent_diameter_mm"] < 9 or nodule.density == "part-solid":
                continue
            image, labels = (part[..., 0] for part in (made("chest", seed).require_image()[0], _labels(seed)))
            x, y = nodule.outline.center
            affine = made("chest", seed).geometry.affine
            at = np.rint((np.array([x, y]) - affine[:2, 3]) / affine[0, 0]).astype(int)
            spot = np.s_[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2]
            if (labels[spot] == NODULE).all():
                noise = 40 if nodule.density == "solid" else 90
                assert image[spot].mean() == pytest.approx(nodule.hu, abs=noise)
                found += 1
    assert found > 3


def _labels(seed: int) -> np.ndarray:
    return made("chest", seed).require_labels()


def test_nodules_touch_what_the_report_says() -> None:
    for place in ("pleura", "parenchyma"):
        single = [seed for seed in SEEDS if [nodule.place for nodule in nodules_of(seed)] == [place]]
        assert single
        for seed in single[:3]:
            labels = _labels(seed)[:, :, 0]
            around = labels[ndimage.binary_dilation(labels == NODULE, np.ones((3, 3), np.bool_))]
            assert np.isin(around, [NODULE, LABELS["lung"]]).all() == (place == "parenchyma"), seed


@pytest.mark.slow
def test_the_shapes_are_ordered_by_their_roughness() -> None:
    convex: dict[str, list[float]] = {name: [] for name in SHAPES}
    for seed in range(80):
        for nodule in nodules_of(seed):
            convex[nodule.shape].append(nodule.outline.solidity)
    medians = [float(np.median(convex[name])) for name in ("round", "lobulated", "spiculated")]
    assert medians == sorted(medians, reverse=True)
    assert medians[0] > 0.97


@pytest.mark.parametrize("radius", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("spacing", [1.5, 3.0])
def test_a_thin_tube_in_the_slice_covers_its_width(radius: float, spacing: float) -> None:
    """Across a straight tube, the shares add up to its diameter, however thin it is."""
    tube = Tubes(np.array([[-90.0, 0.4, 0.0]]), np.array([[90.0, 0.4, 0.0]]), np.full((1, 2), radius))
    axes = (np.arange(10) * spacing, (np.arange(40) - 19.5) * spacing, np.zeros(1))
    grid = Grid(axes, spacing, np.zeros((3, 10, 40, 1), np.float32))
    share = thin_cover(tube, grid)[:, :, 0]
    assert share.max() <= 1
    np.testing.assert_allclose(share.sum(axis=1) * spacing, 2 * radius, rtol=0.12)
