"""Labels of the CT phantoms: organs where they belong, the lesion where it is painted, healthy twins without it."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.errors import RequestError
from medsmith.phantoms.canvas import Canvas
from medsmith.phantoms.ct import phantom as ct
from medsmith.phantoms.ct.anatomy import LABELS, ORGANS, sample_head, sample_torso
from medsmith.phantoms.families import find_family
from medsmith.phantoms.space import WINDOW_MM, Grid
from medsmith.phantoms.tissue import LEVELS_HU, PHASES, Textures
from medsmith.reports.organs import is_lesion, labels_of
from medsmith.reports.schema import LesionReport
from narrowing import present

LESION = LABELS["lesion"]
MM = 6.0
LOW = np.array([-240.0, -180.0, -340.0])
SHAPE = (80, 60, 105)


@cache
def torso(seed: int, phase: int = 1) -> tuple[Grid, Canvas]:
    """The whole trunk on a coarse grid."""
    anatomy = sample_torso(seed, phase)
    grid = Grid.over(anatomy.warp, LOW, SHAPE, MM)
    return grid, anatomy.painted(grid, Textures.none(grid.shape))


@cache
def made(family: str, seed: int, size: int) -> Case:
    return find_family(family).make(seed, f"{family}-{seed}", size)


def center(seed: int, organ: str) -> np.ndarray:
    """Patient mm: right, front, up."""
    grid, canvas = torso(seed)
    found = np.argwhere(canvas.labels == LABELS[organ])
    assert len(found), organ
    return np.array([axis[index].mean() for axis, index in zip(grid.axes, found.T, strict=True)])


def litres(seed: int, organ: str) -> float:
    return int((torso(seed)[1].labels == LABELS[organ]).sum()) * MM**3 / 1e6


def test_names_and_values_of_labels() -> None:
    assert list(LABELS.values()) == list(range(len(ORGANS) + 2))
    assert [name for name in LABELS if is_lesion(name)] == ["lesion"]
    for types in (ct.TORSO.types, ct.HEAD.types):
        for organs in types.values():
            assert all(labels_of(organ, LABELS) == (LABELS[organ],) for organ in organs)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_organ_of_the_trunk_is_there(seed: int) -> None:
    present = set(np.unique(torso(seed)[1].labels))
    assert present == {value for name, value in LABELS.items() if name not in ("brain", "skull", "lesion")}


RIGHT, FRONT, UP = 0, 1, 2


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("axis", "more", "less"),
    [
        (RIGHT, "liver", "spleen"),
        (RIGHT, "liver", "stomach"),
        (RIGHT, "kidney_right", "kidney_left"),
        (RIGHT, "lung_right", "lung_left"),
        (RIGHT, "inferior_vena_cava", "aorta"),
        (RIGHT, "gallbladder", "spleen"),
        (FRONT, "stomach", "spleen"),
        (FRONT, "liver", "kidney_right"),
        (FRONT, "pancreas", "kidney_left"),
        (FRONT, "heart", "aorta"),
        (FRONT, "trachea", "esophagus"),
        (UP, "heart", "liver"),
        (UP, "lung_left", "spleen"),
        (UP, "liver", "gallbladder"),
        (UP, "liver", "kidney_right"),
        (UP, "kidney_left", "kidney_right"),
        (UP, "stomach", "colon"),
        (UP, "pancreas", "urinary_bladder"),
        (UP, "colon", "urinary_bladder"),
        (UP, "trachea", "heart"),
    ],
)
def test_organs_lie_where_they_do_in_a_body(seed: int, axis: int, more: str, less: str) -> None:
    assert center(seed, more)[axis] > center(seed, less)[axis] + 2


@pytest.mark.parametrize(
    ("organ", "least", "most"),
    [
        ("liver", 0.9, 2.6),
        # Small for an adult's: 0.06 in seed 1.
        ("spleen", 0.04, 0.5),
        ("kidney_left", 0.09, 0.3),
        ("kidney_right", 0.09, 0.3),
        ("pancreas", 0.03, 0.18),
        ("gallbladder", 0.012, 0.09),
        ("urinary_bladder", 0.1, 0.45),
        ("heart", 0.3, 1.1),
        ("lung_left", 1.0, 4.0),
        ("lung_right", 1.0, 4.0),
    ],
)
def test_organs_are_as_large_as_in_adults(organ: str, least: float, most: float) -> None:
    for seed in (1, 2):
        assert least < litres(seed, organ) < most


def test_organs_are_of_one_piece() -> None:
    for organ in ("liver", "spleen", "kidney_left", "kidney_right", "gallbladder", "urinary_bladder"):
        mask = torso(1)[1].labels == LABELS[organ]
        parts = np.bincount(ndimage.label(mask, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert parts.max() > 0.98 * mask.sum(), organ


@pytest.mark.parametrize("phase", [0, 1])
def test_organs_have_the_density_of_their_phase(phase: int) -> None:
    """Levels deviate by 7 % of the enhancement and by 3 HU from case to case."""
    _grid, canvas = torso(1, phase)
    levels = {"aorta": "blood", "spleen": "spleen", "liver": "liver", "urinary_bladder": "urine"}
    for organ, tissue in levels.items():
        inside = ndimage.binary_erosion(canvas.labels == LABELS[organ])
        plain, enhanced = LEVELS_HU[tissue]
        told = (plain, enhanced)[phase]
        assert np.median(canvas.image[inside]) == pytest.approx(told, abs=9 + 0.25 * abs(told - plain))
    assert len(PHASES) == 2


def test_the_skull_encloses_the_brain() -> None:
    anatomy = sample_head(1, 0)
    grid = Grid.over(anatomy.warp, np.array([-100.0, -120.0, -80.0]), (50, 60, 45), 4.0)
    labels = anatomy.painted(grid, Textures.none(grid.shape)).labels
    brain = labels == LABELS["brain"]
    assert 0.9 < brain.sum() * 4.0**3 / 1e6 < 1.9
    upper = brain & (grid.anatomical[2] > 0)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in np.moveaxis(labels == LABELS["skull"], 2, 0)], 2)
    assert filled[upper].mean() > 0.99
    assert not (labels == LABELS["liver"]).any()


TWINS = [
    ("ct", "ct-healthy", 11),
    pytest.param("ct", "ct-healthy", 12, marks=pytest.mark.slow),
    ("ct-head", "ct-head-healthy", 11),
]


@pytest.mark.parametrize(("ill", "healthy", "seed"), TWINS)
def test_a_healthy_twin_differs_by_the_lesion_alone(ill: str, healthy: str, seed: int) -> None:
    with_lesion, without = made(ill, seed, 48), made(healthy, seed, 48)
    mask = with_lesion.require_labels() == LESION
    assert mask.any()
    assert not (without.require_labels() == LESION).any()
    assert present(without.report)["lesions"] == []
    np.testing.assert_array_equal(with_lesion.require_labels()[~mask], without.require_labels()[~mask])
    np.testing.assert_array_equal(with_lesion.geometry.affine, without.geometry.affine)
    changed = with_lesion.require_image()[0] != without.require_image()[0]
    spacing = with_lesion.geometry.spacing
    away = ndimage.distance_transform_edt(~mask, sampling=spacing)
    margin = present(with_lesion.report)["lesions"][0]["measured"]["margin_width_mm"]
    assert not changed[away > 2 * margin + 3 * spacing[0] + 2].any()
    assert changed[mask].mean() > 0.5


@pytest.mark.parametrize(("ill", "healthy", "seed"), TWINS)
def test_the_lesion_lies_in_the_organ_of_its_report(ill: str, healthy: str, seed: int) -> None:
    case, without = made(ill, seed, 48), made(healthy, seed, 48)
    report = LesionReport.model_validate(present(case.report)["lesions"][0])
    mask = case.require_labels() == LESION
    near = ndimage.binary_dilation(mask)
    assert (without.require_labels()[near] == LABELS[present(report.organ)]).mean() > 0.1
    volume = mask.sum() * np.prod(case.geometry.spacing)
    assert volume == pytest.approx(report.measured["volume_mm3"], rel=0.25)
    low = np.array(present(case.report)["phantom"]["window_mm"])
    np.testing.assert_allclose(case.geometry.affine[:3, 3] - np.array(case.geometry.spacing) / 2, low, atol=1e-6)


def test_one_seed_gives_the_same_bytes_and_another_others() -> None:
    first, again, other = (find_family("ct").make(seed, "x", 48) for seed in (12, 12, 13))
    assert first.require_image().tobytes() == again.require_image().tobytes()
    assert first.require_labels().tobytes() == again.require_labels().tobytes()
    assert first.report == again.report
    np.testing.assert_array_equal(first.geometry.affine, again.geometry.affine)
    assert first.require_image().tobytes() != other.require_image().tobytes()
    assert first.report != other.report


def test_the_size_changes_the_resolution_and_not_the_anatomy() -> None:
    coarse, fine = made("ct", 12, 48), made("ct", 12, 96)
    assert coarse.report == fine.report
    for case, size in ((coarse, 48), (fine, 96)):
        assert case.require_image().shape == (1, size, size, size)
        np.testing.assert_allclose(case.geometry.spacing, WINDOW_MM / size)
    corners = [case.geometry.affine[:3, 3] - np.array(case.geometry.spacing) / 2 for case in (coarse, fine)]
    np.testing.assert_allclose(corners[0], corners[1], atol=1e-6)
    votes = fine.require_labels().reshape(48, 2, 48, 2, 48, 2).transpose(0, 2, 4, 1, 3, 5).reshape(48, 48, 48, 8)
    assert np.mean((votes == coarse.require_labels()[..., None]).mean(axis=-1) >= 0.5) > 0.96
    blocks = fine.require_image()[0].reshape(48, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5))
    assert np.median(np.abs(blocks - coarse.require_image()[0])) < 12


def test_pictures_hold_whole_hounsfield_units() -> None:
    case = made("ct", 12, 48)
    assert case.require_image().dtype == np.float32
    assert case.stored == np.int16
    np.testing.assert_array_equal(case.require_image(), np.rint(case.require_image()))
    assert case.require_image().min() >= -1024
    assert case.require_image().max() <= 3071
    assert present(case.provenance)["synthetic"] is True


def test_the_noise_is_the_stated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = made("ct", 12, 48)
    monkeypatch.setattr(ct, "scanner_noise", lambda _rng, grid, _low, _sd: np.zeros(grid.shape, np.float32))
    clean = find_family("ct").make(12, "x", 48)
    # Air is cut off at -1024 HU.
    tissue = clean.require_image() > -850
    difference = (case.require_image() - clean.require_image())[tissue]
    assert difference.std() == pytest.approx(present(case.report)["phantom"]["noise_hu"], rel=0.06)
    assert abs(difference.mean()) < 0.5


def test_other_sizes_are_refused() -> None:
    for family in ("ct", "ct-healthy", "ct-head", "ct-head-healthy"):
        with pytest.raises(RequestError, match="size 500"):
            find_family(family).make(0, "x", 500)
