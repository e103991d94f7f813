"""Chest phantoms: cases at all sizes, anatomy where it belongs, densities, and the scanner's noise."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import RequestError
from medsmith.phantoms.chest.anatomy import LABELS, sample_anatomy
from medsmith.phantoms.chest.patient import LEVEL_MM, PHASE_SHARES, Patient, sample_patient
from medsmith.phantoms.chest.scanner import NOISE_HU, sample_scanner
from medsmith.phantoms.families import find_family
from medsmith.phantoms.space import Grid
from medsmith.phantoms.writing import write_phantom
from narrowing import present

SEEDS = range(13)
SIZE = 192
"""The finest size at which every pixel is one sample, so the fastest."""
NEAR = np.ones((3, 3), np.bool_)


@cache
def made(seed: int, size: int = SIZE, family: str = "chest-healthy") -> Case:
    return find_family(family).make(seed, f"{family}-{seed}", size)


def labels_of(seed: int, size: int = SIZE, family: str = "chest-healthy") -> np.ndarray:
    """[x, y]: to the patient's right, to the front."""
    return made(seed, size, family).require_labels()[:, :, 0]


def image_of(seed: int, size: int = SIZE, family: str = "chest-healthy") -> np.ndarray:
    return made(seed, size, family).require_image()[0, :, :, 0]


def where(seed: int, organ: str) -> np.ndarray:
    return labels_of(seed) == LABELS[organ]


@given(seed=st.integers(0, 2**53 - 1), size=st.integers(32, 100), family=st.sampled_from(["chest", "chest-healthy"]))
@settings(max_examples=5, deadline=None)
def test_every_seed_and_size_gives_a_valid_case(seed: int, size: int, family: str) -> None:
    case = find_family(family).make(seed, "x", size)
    image = case.require_image()
    assert image.shape == (1, size, size, 1)
    assert image.dtype == np.float32
    assert case.stored == np.int16
    assert np.array_equal(image, np.rint(image))
    assert -1024 <= image.min() < -900
    assert 150 < image.max() < 2000
    present_labels = set(np.unique(case.require_labels()))
    assert {0, 1, LABELS["bone"]} <= present_labels <= set(case.label_names.values())
    assert case.geometry.dimensions == 2
    assert 360 - 1e-6 <= case.geometry.spacing[0] * size <= 400 + 1e-6
    assert case.geometry.spacing[0] == pytest.approx(case.geometry.spacing[1])
    assert json.loads(json.dumps(case.report)) == case.report


def test_a_seed_gives_the_same_bytes_in_another_process_with_other_threads() -> None:
    script = (
        "import hashlib\nfrom medsmith.phantoms.families import find_family\n"
        "case = find_family('chest').make(9, 'x', 64)\n"
        "print(hashlib.sha256(case.image.tobytes() + case.labels.tobytes() + repr(case.report).encode()).hexdigest())"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "2"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    case = find_family("chest").make(9, "x", 64)
    here = case.require_image().tobytes() + case.require_labels().tobytes() + repr(case.report).encode()
    assert hashlib.sha256(here).hexdigest() == said


def test_the_anatomy_of_a_revision_does_not_change_unnoticed() -> None:
    """Raise `REVISION` when this has to be changed."""
    case = made(1)
    counts = np.bincount(case.require_labels().ravel(), minlength=8).tolist()
    assert (counts, round(float(case.require_image().mean())), present(case.provenance)["revision"]) == PINNED


PINNED = ([28103, 5954, 1414, 382, 0, 53, 27, 931], -601, 4)


def test_a_cohort_is_one_of_slices_and_begins_like_a_longer_one(tmp_path: Path) -> None:
    family = find_family("chest")
    short = write_phantom(family, tmp_path / "short", 2, seed=4, size=32)
    long = write_phantom(family, tmp_path / "long", 3, seed=4, size=32)
    for name in short.ids:
        np.testing.assert_array_equal(short[name].require_image(), long[name].require_image())
        np.testing.assert_array_equal(short[name].require_labels(), long[name].require_labels())
    case = Cohort.open(tmp_path / "long")["chest-00002"]
    assert case.channel_names == ("CT",)
    assert case.geometry.dimensions == 2
    assert case.geometry.spacing_known
    assert present(case.provenance)["method"] == "phantom chest"


@pytest.mark.parametrize("family", ["chest", "chest-healthy"])
def test_a_coarse_picture_is_the_mean_of_a_fine_one_of_the_same_patient(family: str) -> None:
    """64 x 64 pixels are rendered with 3 x 3 samples, 192 x 192 with one: the samples are the same."""
    for seed in SEEDS[:3]:
        fine, coarse = image_of(seed, 192, family), image_of(seed, 64, family)
        blocks = fine.reshape(64, 3, 64, 3)
        unclipped = blocks.min(axis=(1, 3)) > -1024
        assert unclipped.mean() > 0.3
        assert np.abs(blocks.mean(axis=(1, 3)) - coarse)[unclipped].max() <= 1.01
        np.testing.assert_array_equal(labels_of(seed, 192, family)[1::3, 1::3], labels_of(seed, 64, family))
        assert made(seed, 192, family).report == made(seed, 64, family).report


def test_the_same_patient_at_64_and_at_256() -> None:
    for seed in SEEDS[:4]:
        fine, coarse = labels_of(seed, 256), labels_of(seed, 64)
        for value in (1, 2, 7):
            area = int((fine == value).sum()) / 16
            assert int((coarse == value).sum()) == pytest.approx(area, abs=8 + 0.05 * area)
        blocks = image_of(seed, 256).reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert np.corrcoef(blocks.ravel(), image_of(seed, 64).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("size", [0, 31, 513])
def test_a_size_that_cannot_be_rendered_is_refused(size: int) -> None:
    with pytest.raises(RequestError, match=rf"^phantom chest: size {size}; sizes go from 32 to 512"):
        find_family("chest").make(0, "x", size)


def patient_of(seed: int) -> Patient:
    return sample_patient(seed)


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        ("lung", -920, -760),
        ("trachea", -1024, -820),
        ("spinal_cord", 15, 70),
        ("bone", 150, 700),
    ],
)
def test_organs_have_their_density(organ: str, low: float, high: float) -> None:
    """Medians without the pixels at the edge, which hold other tissue."""
    found = 0
    for seed in SEEDS:
        mask = labels_of(seed) == LABELS[organ]
        core = ndimage.binary_erosion(mask, NEAR) if organ in ("lung", "trachea") else mask
        if core.sum() >= 12:
            assert low < np.median(image_of(seed)[core]) < high, seed
            found += 1
    assert found > 4


def test_blood_is_as_bright_as_the_phase_says() -> None:
    bright: dict[str, list[float]] = {phase: [] for phase in PHASE_SHARES}
    for seed in SEEDS:
        core = ndimage.binary_erosion(where(seed, "aorta"), NEAR)
        bright[patient_of(seed).phase].append(float(np.median(image_of(seed)[core])))
    assert min(bright["plain"]) > 20
    assert max(bright["plain"]) < 70
    assert min(bright["portal venous"]) > 105
    assert max(bright["portal venous"]) < 200
    assert min(bright["arterial"]) > 120
    assert max(bright["arterial"]) < 400


def test_there_are_two_lungs_of_plausible_size() -> None:
    for seed in SEEDS:
        parts, count = ndimage.label(where(seed, "lung"), NEAR)
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        assert sizes[2:].sum() <= 6, seed
        assert count >= 2
        square_cm = sizes[:2] * made(seed).geometry.spacing[0] ** 2 / 100
        assert 45 < square_cm.min() <= square_cm.max() < 220, seed


def test_every_other_organ_has_few_parts() -> None:
    """The aorta meets upper slices twice, the bronchi too."""
    for seed in SEEDS:
        for organ, most in (("heart", 2), ("aorta", 2), ("trachea", 2), ("esophagus", 1), ("spinal_cord", 1)):
            assert ndimage.label(where(seed, organ), NEAR)[1] <= most, (seed, organ)


def center(seed: int, organ: str, lowest: bool = False) -> np.ndarray:
    """Patient mm to the right and to the front; of the part farthest behind if asked for."""
    mask = where(seed, organ)
    parts, count = ndimage.label(mask, NEAR)
    if lowest and count > 1:
        centers = ndimage.center_of_mass(mask, parts, range(1, count + 1))
        mask = parts == 1 + int(np.argmin([place[1] for place in centers]))
    index = np.argwhere(mask).mean(axis=0)
    return np.array(made(seed).geometry.affine[:2, :2] @ index + made(seed).geometry.affine[:2, 3])


def test_organs_lie_where_they_do_in_a_body() -> None:
    hearts = 0
    for seed in SEEDS:
        cord, gullet = center(seed, "spinal_cord"), center(seed, "esophagus")
        aorta = center(seed, "aorta", lowest=True)
        assert gullet[1] > cord[1] + 25
        assert abs(gullet[0] - cord[0]) < 35
        level = patient_of(seed).level_mm
        if level < 100:
            assert aorta[0] < cord[0] - 5
            assert aorta[1] < cord[1] + 55
        if where(seed, "trachea").any():
            assert center(seed, "trachea")[1] > gullet[1] - 2
        if where(seed, "heart").sum() > 160:
            heart = center(seed, "heart")
            assert heart[1] > gullet[1] + 15
            assert level < 80
            hearts += 1
            if level < 45:
                assert heart[0] < cord[0] - 2
    assert hearts > 4


def test_the_cord_lies_in_a_canal_inside_the_bone() -> None:
    for seed in SEEDS[:10]:
        labels = labels_of(seed)
        cord = labels == LABELS["spinal_cord"]
        around = ndimage.binary_dilation(cord, NEAR, iterations=2) & ~cord
        assert set(np.unique(labels[around])) <= {0, LABELS["bone"]}
        wide = ndimage.binary_dilation(cord, NEAR, iterations=9) & ~cord
        assert (labels[wide] == LABELS["bone"]).mean() > 0.25


def test_there_is_a_table_below_and_air_above_the_patient() -> None:
    for seed in SEEDS[:10]:
        image = image_of(seed)
        body = ndimage.binary_fill_holes(ndimage.binary_opening(image > -300, NEAR, iterations=3))
        assert np.median(image[:, -4:]) < -950
        middle = image[90:102].mean(axis=0)
        lowest = np.flatnonzero(body[90:102].any(axis=0)).min()
        assert middle[: max(lowest - 2, 1)].max() > -900
        assert 0.25 < body.mean() < 0.85


def test_levels_and_habitus_vary_widely() -> None:
    patients = [sample_patient(seed) for seed in range(400)]
    assert np.mean([patient.sex == "female" for patient in patients]) == pytest.approx(0.5, abs=0.08)
    for phase, share in PHASE_SHARES.items():
        assert np.mean([patient.phase == phase for patient in patients]) == pytest.approx(share, abs=0.08)
    levels = np.array([patient.level_mm for patient in patients])
    assert LEVEL_MM[0] <= levels.min() < 6
    assert 116 < levels.max() <= LEVEL_MM[1]
    fat = np.array([patient.fat_mm for patient in patients])
    assert np.quantile(fat, 0.95) > 2.5 * np.quantile(fat, 0.05)
    assert all(patient.breast == 0 for patient in patients if patient.sex == "male")
    assert max(abs(patient.turn_degrees) for patient in patients) < 6


def test_noise_has_the_sampled_size_and_is_correlated() -> None:
    anatomy = sample_anatomy(5)
    noise = anatomy.noise(anatomy.grid(512, 1))[:, :, 0]
    middle = noise[226:286, 196:256]
    assert middle.std() == pytest.approx(anatomy.scanner.noise_hu, rel=0.15)
    corner = noise[:60, -60:]
    assert 0.25 < corner.std() / middle.std() < 0.6
    beside = float(np.mean(middle[1:] * middle[:-1]) / middle.var())
    far = float(np.mean(middle[8:] * middle[:-8]) / middle.var())
    assert beside > 0.4
    assert abs(far) < 0.2
    sampled = [sample_scanner(seed).noise_hu for seed in range(200)]
    assert NOISE_HU[0] <= min(sampled) < 11
    assert 26 < max(sampled) <= NOISE_HU[1]


def test_noise_falls_with_the_size_of_pixels() -> None:
    anatomy = sample_anatomy(5)
    fine = anatomy.noise(anatomy.grid(384, 1))[:, :, 0]
    coarse = fine.reshape(64, 6, 64, 6).mean(axis=(1, 3))
    assert coarse[24:40, 24:40].std() < 0.5 * fine[144:240, 144:240].std()


def test_vessels_taper_from_the_hilum_outwards() -> None:
    near, far = [], []
    for seed in SEEDS[:8]:
        lungs = sample_anatomy(seed).lungs
        for side in ("right", "left"):
            tubes = lungs.tree(side, "artery")
            root = tubes.starts[np.argmax(tubes.radii[:, 0])]
            away = np.linalg.norm(tubes.ends - root, axis=1)
            near.append(tubes.radii[away < np.quantile(away, 0.2), 1].max())
            far.append(tubes.radii[away > np.quantile(away, 0.8), 1].max())
            assert (tubes.radii[:, 1] <= tubes.radii[:, 0] + 1e-9).all()
    assert np.median(near) > 2 * np.median(far)


def test_lungs_hold_vessels_in_their_inner_part() -> None:
    inner, outer = [], []
    for seed in SEEDS[:8]:
        mask = labels_of(seed) == LABELS["lung"]
        depth = ndimage.distance_transform_edt(mask) * made(seed).geometry.spacing[0]
        bright = image_of(seed) > -500
        inner.append(bright[depth > 14].mean())
        outer.append(bright[(depth > 3) & (depth < 6)].mean())
    assert 0.01 < np.mean(inner) < 0.15
    assert np.mean(outer) < np.mean(inner)


def test_back_undoes_the_pose() -> None:
    for seed in SEEDS[:5]:
        pose = sample_anatomy(seed).pose
        points = np.random.default_rng(seed).uniform(-110, 110, (20, 3))
        patient = pose.back(points)
        for own, wanted in zip(patient, points, strict=True):
            found = pose.on(tuple(np.array([value]) for value in own))[:, 0, 0, 0]
            np.testing.assert_allclose(found, wanted, atol=0.8)


def test_walls_are_nested_closed_curves() -> None:
    for seed in SEEDS:
        wall = sample_anatomy(seed).lungs.mediastinum.wall
        assert (wall.muscle_radii > wall.inner_radii + 8).all()
        assert (wall.skin_radii > wall.muscle_radii + 2).all()
        assert np.abs(np.diff(wall.inner_radii, append=wall.inner_radii[:1])).max() < 2.5


def test_lungs_are_separate_at_any_level() -> None:
    for seed in SEEDS[:8]:
        anatomy = sample_anatomy(seed)
        grid: Grid = anatomy.grid(128, 1)
        both = [anatomy.lungs.solid(side).distance(grid) <= 0 for side in ("right", "left")]
        assert not (both[0] & both[1]).any()
        np.testing.assert_array_equal(both[0] | both[1], anatomy.lungs.distance(grid) <= 0)
