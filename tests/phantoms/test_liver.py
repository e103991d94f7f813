"""Liver MR phantoms: veins that stay apart and unbroken, exact shares, signal of tissues, and Rician noise."""

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
from numpy.polynomial import legendre
from scipy import ndimage, stats
from scipy.spatial import ConvexHull, Delaunay, cKDTree

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import RequestError
from medsmith.phantoms.families import find_family
from medsmith.phantoms.liver.anatomy import LiverAnatomy, sample_anatomy
from medsmith.phantoms.liver.courses import section_at
from medsmith.phantoms.liver.organ import FIELD_MM
from medsmith.phantoms.liver.phantom import LABELS
from medsmith.phantoms.liver.render import AXIS_SHARE, NEAR, Rendered, render, samples_per_voxel, slices, vein_share
from medsmith.phantoms.liver.signal import BIAS, NOISE_SHARE, TISSUE_SHARE, VESSEL_SHARE, rician, sample_receive_field
from medsmith.phantoms.liver.tumors import COUNT_SHARES, DIAMETER_LIMITS_MM, DIAMETER_MM, SHAPES, STRUCTURES
from medsmith.phantoms.liver.veins import LEAF_MM, MURRAY, Tree
from medsmith.phantoms.solids import Tubes
from medsmith.phantoms.space import Displacement, Grid, Warp
from medsmith.phantoms.writing import write_phantom
from narrowing import present

FAMILY = find_family("liver-mr")
SEEDS = (1, 2, 3, 10)
"""With 4, 0, 1 and 3 tumors."""
FINE = 160
PORTAL, HEPATIC, TUMOR = LABELS["portal_vein"], LABELS["hepatic_vein"], LABELS["tumor"]
STILL = Warp((1.0, 1.0, 1.0), (Displacement(200.0, np.zeros((3, 8, 8, 8), np.float32)),))


@cache
def anatomy(seed: int) -> LiverAnatomy:
    return sample_anatomy(seed)


@cache
def rendered(seed: int, size: int) -> Rendered:
    return render(anatomy(seed), size)


@cache
def made(seed: int, size: int) -> Case:
    return FAMILY.make(seed, "x", size)


def components(mask: np.ndarray) -> int:
    return int(ndimage.label(mask, NEAR)[1])


@given(seed=st.integers(0, 2**53 - 1), size=st.integers(32, 60))
@settings(max_examples=2, deadline=None)
def test_every_seed_and_size_gives_a_valid_case(seed: int, size: int) -> None:
    case = FAMILY.make(seed, "x", size)
    image, labels = case.require_image(), case.require_labels()
    assert image.shape == (1, size, size, slices(size))
    assert np.array_equal(image, np.rint(image))
    assert image.min() >= 0
    assert 400 < image.max() <= 2047
    assert {0, 1, PORTAL, HEPATIC} <= set(np.unique(labels)) <= set(LABELS.values())
    assert components(labels == PORTAL) == 1
    assert 1 <= components(labels == HEPATIC) <= 3
    np.testing.assert_allclose(np.array(case.geometry.spacing) * case.geometry.shape, FIELD_MM)
    assert json.loads(json.dumps(case.report)) == case.report
    assert len(present(case.report)["lesions"]) <= 4


def test_a_seed_gives_the_same_bytes_in_another_process_with_other_threads() -> None:
    script = (
        "import hashlib\nfrom medsmith.phantoms.families import find_family\n"
        "case = find_family('liver-mr').make(3, 'x', 32)\n"
        "print(hashlib.sha256(case.image.tobytes() + case.labels.tobytes() + repr(case.report).encode()).hexdigest())"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "2"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    made(1, 48)
    case = made(3, 32)
    here = case.require_image().tobytes() + case.require_labels().tobytes() + repr(case.report).encode()
    assert hashlib.sha256(here).hexdigest() == said


def test_the_anatomy_of_a_revision_does_not_change_unnoticed() -> None:
    """Raise the revision when this has to be changed."""
    case = made(1, 48)
    counts = np.bincount(case.require_labels().ravel(), minlength=5).tolist()
    assert (counts, round(float(case.require_image().mean())), FAMILY.revision) == PINNED


PINNED = ([52168, 2953, 54, 61, 60], 158, 1)


def test_a_stored_case_is_a_volume_in_mm(tmp_path: Path) -> None:
    write_phantom(FAMILY, tmp_path / "out", 1, seed=4, size=32)
    case = Cohort.open(tmp_path / "out").stored("liver-mr-00000")
    assert case.stored == np.int16
    assert case.channel_names == ("MR",)
    assert case.geometry.spacing_known
    assert case.geometry.spacing == pytest.approx((10.0, 10.0, 12.0))
    assert (np.diag(case.geometry.affine)[:3] > 0).all()
    assert present(case.provenance)["method"] == "phantom liver-mr"


@pytest.mark.parametrize(
    ("size", "depth", "samples"), [(32, 16, 3), (48, 24, 2), (64, 32, 2), (96, 40, 1), (160, 64, 1)]
)
def test_the_slices_of_a_size_halve_three_times(size: int, depth: int, samples: int) -> None:
    assert (slices(size), samples_per_voxel(size)) == (depth, samples)
    assert depth % 8 == 0


@pytest.mark.parametrize("size", [0, 31, 193])
def test_a_size_that_cannot_be_rendered_is_refused(size: int) -> None:
    with pytest.raises(RequestError, match=rf"^phantom liver-mr: size {size}; sizes go from 32 to 192"):
        FAMILY.make(0, "x", size)


def test_the_anatomy_does_not_depend_on_the_size() -> None:
    coarse, fine = rendered(10, 64), rendered(10, FINE)
    for low, high in zip((*coarse.shares, *coarse.tumors), (*fine.shares, *fine.tumors), strict=True):
        assert coarse.volume_ml(low) == pytest.approx(fine.volume_ml(high), rel=0.03)
    for value in (PORTAL, HEPATIC):
        labeled = coarse.volume_ml((coarse.labels == value).astype(np.float32))
        assert labeled == pytest.approx(coarse.volume_ml(coarse.shares[value - 1]), rel=0.25)
    blocks = fine.signal.reshape(32, 5, 32, 5, 32, 2).mean(axis=(1, 3, 5))
    again = coarse.signal.reshape(32, 2, 32, 2, 32).mean(axis=(1, 3))
    assert np.corrcoef(blocks.ravel(), again.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_hepatic_and_portal_veins_never_touch(seed: int) -> None:
    """Their walls are farther apart than the diagonal of a voxel of 2 x 2 x 3 mm."""
    points, radii = zip(*(anatomy(seed).trees[kind].axis_points(0.8) for kind in ("portal", "hepatic")), strict=True)
    near, which = cKDTree(points[1]).query(points[0], k=30)
    assert (near - radii[1][which] - radii[0][:, None]).min() > np.sqrt(2**2 + 2**2 + 3**2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["portal", "hepatic"])
def test_radii_follow_the_law_of_murray_from_the_root_to_the_leaves(seed: int, kind: str) -> None:
    tree: Tree = anatomy(seed).trees[kind]
    assert (tree.parents < np.arange(len(tree.parents))).all()
    assert np.flatnonzero(tree.parents < 0).tolist() == sorted(tree.roots.values())
    flow = np.zeros(len(tree.nodes))
    below = np.flatnonzero(tree.parents >= 0)
    np.add.at(flow, tree.parents[below], tree.radii[below] ** MURRAY)
    ends = flow == 0
    assert ends.sum() > 25
    np.testing.assert_allclose(tree.radii[ends], LEAF_MM[kind])
    # Where anatomy limits a radius, it is smaller than that of Murray's law.
    assert (tree.radii[~ends] ** MURRAY <= flow[~ends] * (1 + 1e-9)).mean() > 0.9
    exact = np.isclose(tree.radii[~ends] ** MURRAY, flow[~ends])
    assert exact.mean() > 0.8
    assert (tree.radii[below] <= tree.radii[tree.parents[below]] + 1e-9).mean() > 0.98


def test_a_capsule_fills_the_share_of_its_volume() -> None:
    """Any orientation and voxel: pi r^2 l + 4/3 pi r^3."""
    rng = np.random.default_rng(0)
    for radius, spacing, stretch in ((1.4, 2.0, 1.5), (4.0, 2.0, 1.5), (2.0, 2.5, 1.2)):
        start, end = np.array([12.0, 14.0, 15.0]) + rng.normal(size=3), np.array([40.0, 33.0, 37.0])
        grid = Grid.over(STILL, np.zeros(3), (26, 26, 20), spacing, stretch)
        part, share = vein_share(Tubes(start[None], end[None], np.full((1, 2), radius)), grid, 2)
        length = float(np.linalg.norm(end - start))
        volume = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
        assert float(share.sum()) * float(np.prod(grid.steps)) == pytest.approx(volume, rel=0.04)
        assert share.shape == tuple(cut.stop - cut.start for cut in part)


@pytest.mark.parametrize("seed", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_labels_are_the_largest_share_and_veins_are_unbroken(seed: int) -> None:
    found = rendered(seed, FINE)
    labels = found.labels
    assert found.shares.min() >= 0
    assert found.shares.sum(axis=0).max() <= 1 + 1e-5
    outside = 1 - found.shares.sum(axis=0)
    largest = np.argmax(np.concatenate([outside[None], found.shares]), axis=0)
    veins = np.isin(labels, (PORTAL, HEPATIC))
    cut_off = np.isin(largest, (PORTAL, HEPATIC)) & ~veins
    np.testing.assert_array_equal(labels[~veins & ~cut_off], largest[~veins & ~cut_off])
    assert cut_off.sum() <= 0.01 * veins.sum()
    own = np.where(labels == PORTAL, found.shares[PORTAL - 1], found.shares[HEPATIC - 1])
    assert own[veins].min() >= AXIS_SHARE
    assert (largest[veins] == labels[veins]).mean() > 0.8
    assert components(labels == PORTAL) == 1
    assert 1 <= components(labels == HEPATIC) <= 3
    assert not (ndimage.binary_dilation(labels == PORTAL, NEAR) & (labels == HEPATIC)).any()


@pytest.mark.parametrize("seed", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_tumors_lie_inside_the_liver_and_spare_the_trees(seed: int) -> None:
    found, lesions = rendered(seed, FINE), anatomy(seed).tumors
    assert components(found.labels == TUMOR) == len(lesions) > 0
    points = np.argwhere(np.isin(found.labels, (1, PORTAL, HEPATIC)))
    hull = Delaunay(points[ConvexHull(points).vertices])
    assert (hull.find_simplex(np.argwhere(found.labels == TUMOR)) >= 0).all()
    for tumor, share in zip(lesions, found.tumors, strict=True):
        low, high = DIAMETER_LIMITS_MM
        assert low <= tumor.diameter_mm <= high
        ball = 4 / 3 * np.pi * (tumor.diameter_mm / 2) ** 3 / 1000
        assert 0.35 * ball < found.volume_ml(share) < 1.1 * ball
        for vein in (PORTAL, HEPATIC):
            covered = (share > 0.5) & (found.labels == vein)
            assert covered.sum() < 0.05 * (found.labels == vein).sum()


def test_reports_name_the_place_and_size_of_tumors() -> None:
    case, lesions = made(10, 64), anatomy(10).tumors
    report = present(case.report)
    assert len(report["lesions"]) == len(lesions)
    for entry, tumor in zip(report["lesions"], lesions, strict=True):
        assert entry["diameter_mm"] == pytest.approx(tumor.diameter_mm, abs=0.01)
        voxel = np.rint(np.linalg.solve(case.geometry.affine, [*entry["center_mm"], 1]))[:3].astype(int)
        assert case.require_labels()[tuple(voxel)] == TUMOR
    total = sum(entry["measured"]["volume_ml"] for entry in report["lesions"])
    assert report["phantom"]["volume_ml"]["tumor"] == pytest.approx(total, rel=0.05)


@pytest.mark.parametrize(
    ("place", "section"),
    [
        ((90, -40), "right posterior"),
        ((80, 25), "right anterior"),
        ((20, 50), "left medial"),
        ((-40, 45), "left lateral"),
        ((10, -40), "caudate"),
    ],
)
def test_sections_lie_between_the_hepatic_veins(place: tuple[float, float], section: str) -> None:
    assert section_at(*place) == section


def test_the_liver_is_bright_and_veins_and_tumors_are_dark() -> None:
    for seed, size in ((10, 64), (2, 48)):
        found = rendered(seed, size)
        pure = {name: found.signal[share > 0.98] for name, share in zip(list(LABELS)[1:], found.shares, strict=True)}
        liver, veins = np.median(pure["liver"]), anatomy(seed).levels["vessels"]
        assert VESSEL_SHARE[0] * 0.97 < veins / liver < VESSEL_SHARE[1] * 1.03
        if pure["tumor"].size:
            assert np.median(pure["tumor"]) < 0.92 * liver
        assert liver == pytest.approx(anatomy(seed).levels["liver"], rel=0.03)


def test_gray_values_do_not_give_veins_and_tumors_away() -> None:
    """As many voxels outside the liver have the gray values of veins and tumors as these themselves."""
    case = made(10, 64)
    image, labels = case.require_image()[0], case.require_labels()
    for value in (PORTAL, HEPATIC, TUMOR):
        low, high = np.percentile(image[labels == value], (20, 80))
        alike = (image >= low) & (image <= high)
        assert (alike & (labels == 0)).sum() > 3 * (alike & (labels == value)).sum()


@pytest.mark.parametrize("signal", [0.0, 30.0, 400.0])
def test_noise_is_rician(signal: float) -> None:
    noisy = rician(np.full((24, 24, 24), signal, np.float32), 20.0, np.random.default_rng(3))
    assert stats.kstest(noisy.ravel(), stats.rice(signal / 20.0, scale=20.0).cdf).pvalue > 1e-3


def test_air_has_the_mean_and_deviation_of_rayleigh() -> None:
    """Of sd * sqrt(pi / 2), and sd * sqrt(2 - pi / 2)."""
    case = made(10, 64)
    sd = present(case.report)["phantom"]["scanner"]["noise"]
    air = case.require_image()[0][rendered(10, 64).signal == 0]
    assert air.size > 10000
    assert air.mean() == pytest.approx(sd * np.sqrt(np.pi / 2), rel=0.02)
    assert air.std() == pytest.approx(sd * np.sqrt(2 - np.pi / 2), rel=0.03)


def test_the_receive_field_is_a_polynomial_within_its_amplitude() -> None:
    for seed in range(20):
        field = sample_receive_field(np.random.default_rng(seed))
        values = field.on((16, 12, 10))
        x, y, z = ((np.arange(n) + 0.5) * 2 / n - 1 for n in values.shape)
        np.testing.assert_allclose(values, 1 + legendre.leggrid3d(x, y, z, field.weights), atol=1e-5)
        faces = np.linspace(-1, 1, 21)
        corners = 1 + legendre.leggrid3d(faces, faces, faces, field.weights)
        assert BIAS[0] <= field.amplitude <= BIAS[1]
        assert 0.5 * field.amplitude < np.abs(corners - 1).max() <= field.amplitude * 1.02


def test_the_page_states_the_distributions_of_the_code() -> None:
    flowing = " ".join((Path(__file__).parents[2] / "docs" / "phantoms.md").read_text(encoding="utf-8").split())
    counts = [f"{share:.0%}".replace("%", " %") for share in COUNT_SHARES]
    assert f"0, 1, 2, 3 and 4 tumors: {', '.join(counts[:4])} and {counts[4]}" in flowing
    for table in (SHAPES, STRUCTURES):
        assert ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in table.items()) in flowing
    low, high = DIAMETER_LIMITS_MM
    assert f"median {DIAMETER_MM[0]} mm, cut at {low} and {high} mm; a tumor" in flowing
    assert f"between {NOISE_SHARE[0]:.1%} and {NOISE_SHARE[1]:.1%} of the liver's signal".replace("%", " %") in flowing
    assert f"at most {BIAS[0]:.0%} to {BIAS[1]:.0%} from 1".replace("%", " %") in flowing
    assert f"blood {VESSEL_SHARE[0]} to {VESSEL_SHARE[1]}" in flowing
    low, high = TISSUE_SHARE["muscle"]
    assert f"muscle {low} to {high}" in flowing
    for name, value in LABELS.items():
        assert name == "background" or (f"`{name}`" in flowing and f"| {value} |" in flowing)
