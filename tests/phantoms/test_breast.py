"""What a breast phantom's report says is true of its picture and its mask."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as components
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from skimage.measure import regionprops

from medsmith.cases.case import Case
from medsmith.errors import RequestError
from medsmith.phantoms.breast.masses import CONTRAST_DB
from medsmith.phantoms.breast.phantom import SHELL_MM, Scene, make_breast_case, sample_scene
from medsmith.phantoms.breast.ultrasound import Probe
from medsmith.phantoms.fields import DEPTH_MM, FIELD_MM, NATIVE, NATIVE_MM

SEEDS = range(1000, 1060)


@cache
def case_of(seed: int, size: int = 128) -> Case:
    return make_breast_case(seed, f"breast-{seed}", size)


@cache
def scene_of(seed: int) -> Scene:
    return sample_scene(seed)


def lesion_of(case: Case) -> dict[str, Any]:
    assert case.report is not None
    (lesion,) = case.report["lesions"]
    return lesion


def gray_of(case: Case) -> np.ndarray:
    """[depth, lateral]."""
    return case.require_image()[0, :, :, 0].T


def mask_of(case: Case) -> np.ndarray:
    return case.require_labels()[:, :, 0].T > 0


@given(seed=st.integers(0, 2**53 - 1), size=st.integers(32, NATIVE))
@settings(max_examples=12, deadline=None)
def test_every_seed_and_size_gives_a_valid_case(seed: int, size: int) -> None:
    case = make_breast_case(seed, "x", size)
    assert case.require_image().shape == (1, size, size, 1)
    assert case.require_image().dtype == np.float32
    assert np.array_equal(case.require_image(), case.require_image().astype(np.uint8))
    assert case.stored == np.uint8
    assert not case.geometry.spacing_known
    assert set(np.unique(case.require_labels())) == {0, 1}
    assert components(case.require_labels()[:, :, 0])[1] == 1
    assert case.require_image().std() > 10
    assert case.synthetic
    assert json.loads(json.dumps(case.report)) == case.report


@given(seed=st.integers(0, 2**53 - 1))
@settings(max_examples=20, deadline=None)
def test_the_mass_lies_wholly_in_view_below_the_skin(seed: int) -> None:
    scene = sample_scene(seed)
    lateral, depth = scene.outline.points.T
    assert 1 - 1e-6 <= lateral.min() <= lateral.max() <= FIELD_MM - 1 + 1e-6
    assert depth.max() < FIELD_MM
    column = int(scene.outline.center[0] / NATIVE_MM)
    assert depth.min() > scene.tissue.boundaries_mm["skin"][column]


@given(seed=st.integers(0, 2**53 - 1))
@settings(max_examples=20, deadline=None)
def test_the_mean_level_inside_is_the_drawn_contrast_above_the_tissue_around(seed: int) -> None:
    scene = sample_scene(seed)
    inside = scene.distance_mm <= 0
    own = (scene.echo_db - scene.tissue.echo_db * (1 - scene.share))[inside] / scene.share[inside]
    around = scene.tissue.echo_db[(scene.distance_mm > SHELL_MM[0]) & (scene.distance_mm <= SHELL_MM[1])].mean()
    assert own.mean() - around == pytest.approx(scene.mass.contrast_db, abs=0.02)
    assert own.std() == pytest.approx(scene.mass.texture_db, abs=0.02)


def test_a_seed_gives_the_same_bytes_in_another_process_with_other_threads() -> None:
    script = (
        "import hashlib\nfrom medsmith.phantoms.breast.phantom import make_breast_case\n"
        "case = make_breast_case(1000, 'x', 128)\n"
        "print(hashlib.sha256(case.image.tobytes() + case.labels.tobytes()).hexdigest(), case.report)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "2"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    case = case_of(1000)
    here = hashlib.sha256(case.require_image().tobytes() + case.require_labels().tobytes()).hexdigest()
    assert said == f"{here} {case.report}\n"


def test_the_anatomy_of_a_revision_does_not_change_unnoticed() -> None:
    """Raise `BreastPhantom.revision` when this has to be changed."""
    case = case_of(1000)
    assert (int(case.require_labels().sum()), round(float(case.require_image().mean()))) == PINNED
    assert case.provenance is not None
    assert case.provenance["revision"] == 1


PINNED = (1024, 91)


@pytest.mark.parametrize("size", [64, 128])
def test_every_size_shows_the_same_anatomy(size: int) -> None:
    for seed in SEEDS[:8]:
        fine, coarse = case_of(seed, 256), case_of(seed, size)
        edge = 256 // size
        blocks = gray_of(fine).reshape(size, edge, size, edge).mean(axis=(1, 3))
        assert np.abs(blocks - gray_of(coarse)).max() <= 1.01
        drawn = {key: value for key, value in lesion_of(fine).items() if key != "measured"}
        assert drawn == {key: value for key, value in lesion_of(coarse).items() if key != "measured"}


@pytest.mark.parametrize(("size", "edge_pixels"), [(64, 0.1), (128, 0.05), (256, 0.05)])
def test_the_mask_has_the_reported_area_diameter_and_center(size: int, edge_pixels: float) -> None:
    pixel = FIELD_MM / size
    for seed in SEEDS[:12]:
        case = case_of(seed, size)
        lesion, mask = lesion_of(case), mask_of(case)
        assert lesion["measured"]["pixels"] == mask.sum()
        perimeter = np.sqrt(4 * np.pi * lesion["area_mm2"] / lesion["circularity"])
        assert mask.sum() * pixel**2 == pytest.approx(lesion["area_mm2"], abs=edge_pixels * perimeter * pixel)
        assert lesion["area_mm2"] == pytest.approx(np.pi * lesion["equivalent_diameter_mm"] ** 2 / 4, rel=1e-3)
        if lesion["shape"] in ("round", "oval"):
            points = np.argwhere(mask) * pixel
            assert pdist(points).max() + pixel == pytest.approx(lesion["longest_diameter_mm"], abs=1.2 * pixel)
            center = points.mean(axis=0)[::-1] + pixel / 2
            np.testing.assert_allclose(center, lesion["centre_mm"], atol=0.05 * lesion["equivalent_diameter_mm"])


def test_gray_values_in_the_report_are_those_of_the_picture() -> None:
    for seed in SEEDS[:20]:
        case = case_of(seed)
        measured, gray, mask = lesion_of(case)["measured"], gray_of(case), mask_of(case)
        assert measured["grey_inside"] == pytest.approx(gray[mask].mean(), abs=1e-3)
        difference = measured["grey_inside"] - measured["grey_around"]
        assert measured["contrast_grey"] == pytest.approx(difference, abs=2e-3)


@pytest.mark.slow
def test_the_picture_shows_the_drawn_contrast() -> None:
    """Grey values back to decibels, the known gain taken off; where nothing is clipped to black."""
    drawn, shown = np.array([_contrast_shown(seed) for seed in SEEDS]).T
    clear = drawn > CONTRAST_DB["hypoechoic"][0]
    error = (shown - drawn)[clear]
    assert abs(np.median(error)) < 1.0
    assert np.quantile(np.abs(error), 0.9) < 3.0
    assert np.corrcoef(drawn[clear], shown[clear])[0, 1] > 0.95
    assert (shown[~clear] < -5).all()


def _contrast_shown(seed: int) -> tuple[float, float]:
    scene, gray = scene_of(seed), gray_of(case_of(seed, 256))
    level_db = (gray / 255 - 1) * Probe().range_db - scene.gain_db
    core = scene.distance_mm < -scene.mass.margin_mm / 2
    around = (scene.distance_mm > SHELL_MM[0]) & (scene.distance_mm <= SHELL_MM[1])
    return scene.mass.contrast_db, float(level_db[core].mean() - level_db[around].mean())


@pytest.mark.slow
def test_the_margin_rises_from_10_to_90_percent_over_the_reported_width() -> None:
    for seed in SEEDS:
        scene = scene_of(seed)
        inner = scene.distance_mm[scene.share >= 0.9].max()
        outer = scene.distance_mm[scene.share <= 0.1].min()
        assert outer - inner == pytest.approx(lesion_of(case_of(seed))["margin_width_mm"], abs=2 * NATIVE_MM)


def test_ill_defined_margins_look_wider_in_the_picture() -> None:
    widths = {margin: _edge_width_mm(margin) for margin in ("well-defined", "ill-defined")}
    assert widths["well-defined"] < 1.0
    assert widths["ill-defined"] > 1.6 * widths["well-defined"]


def _edge_width_mm(margin: str) -> float:
    """10 % to 90 % width of the mean gray profile across the edges of dark masses, in mm."""
    edges = np.arange(-1.8, 2.41, 0.3)
    profiles = []
    for seed in SEEDS:
        scene = scene_of(seed)
        if scene.mass.margin != margin or scene.mass.echo_pattern not in ("anechoic", "hypoechoic"):
            continue
        gray, place = gray_of(case_of(seed, 256)), np.digitize(scene.distance_mm, edges)
        profiles.append([gray[place == index].mean() for index in range(1, edges.size)])
    profile, middle = np.mean(profiles, axis=0), (edges[:-1] + edges[1:]) / 2
    low, high = profile[:3].mean(), profile[-4:].mean()
    rising = np.maximum.accumulate((profile - low) / (high - low))
    return float(np.interp(0.9, rising, middle) - np.interp(0.1, rising, middle))


def test_shapes_are_ordered_in_the_mask_as_a_second_library_measures_it() -> None:
    measured: dict[str, list[float]] = {}
    reported, second = [], []
    for seed in SEEDS:
        case = case_of(seed, 256)
        (region,) = regionprops(mask_of(case).astype(np.uint8))
        circularity = 4 * np.pi * region.area / region.perimeter_crofton**2
        measured.setdefault(lesion_of(case)["shape"], []).append(circularity)
        reported.append(lesion_of(case)["solidity"])
        second.append(region.solidity)
    order = ("round", "oval", "lobulated", "irregular", "spiculated")
    medians = [float(np.median(measured[shape])) for shape in order]
    assert medians == sorted(medians, reverse=True)
    assert spearmanr(reported, second).statistic > 0.93


def test_below_the_mass_the_picture_is_brighter_darker_or_neither() -> None:
    changes: dict[str, list[float]] = {}
    for seed in SEEDS:
        scene, gray = scene_of(seed), gray_of(case_of(seed, 256))
        changes.setdefault(scene.mass.posterior, []).append(_below_minus_beside(scene, gray))
    medians = {name: float(np.median(values)) for name, values in changes.items()}
    assert medians["enhancement"] > medians["none"] + 8
    assert medians["shadowing"] < medians["none"] - 15


def _below_minus_beside(scene: Scene, gray: np.ndarray) -> float:
    """Mean gray value of 5 mm below the middle of the mass, less that beside it at the same depth."""
    lateral, bottom = scene.outline.center[0], scene.outline.points[:, 1].max()
    rows = (DEPTH_MM[:, 0] > bottom + 0.5) & (DEPTH_MM[:, 0] < bottom + 5.5)
    across = np.abs((np.arange(NATIVE) + 0.5) * NATIVE_MM - lateral)
    half = np.ptp(scene.outline.points[:, 0]) / 2
    beside = (across > 1.3 * half) & (across < 1.3 * half + 6)
    return float(gray[rows][:, across < 0.5 * half].mean() - gray[rows][:, beside].mean())


def test_distractors_are_reported_and_never_labeled() -> None:
    counts = []
    for seed in SEEDS:
        case = case_of(seed)
        assert case.report is not None
        found = case.report["phantom"]["distractors"]
        counts.append([len(found[name]) for name in ("fat lobules", "shadows", "ribs")])
        assert components(mask_of(case))[1] == 1
    lobules, shadows, ribs = np.mean(counts, axis=0)
    assert lobules == pytest.approx(1.2, abs=0.5)
    assert shadows == pytest.approx(0.7, abs=0.4)
    assert ribs == pytest.approx(0.3, abs=0.2)


def test_the_report_says_how_large_a_pixel_is() -> None:
    for size, millimeters in ((64, 0.6), (128, 0.3), (256, 0.15)):
        case = case_of(1000, size)
        assert case.report is not None
        assert case.report["phantom"]["mm_per_pixel"] == pytest.approx(millimeters)


@pytest.mark.parametrize("size", [0, 31, 257])
def test_a_size_that_cannot_be_rendered_is_refused(size: int) -> None:
    with pytest.raises(RequestError, match=rf"^phantom breast: size {size}; sizes go from 32 to 256"):
        make_breast_case(0, "x", size)
