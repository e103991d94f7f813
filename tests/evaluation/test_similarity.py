"""Permutation test, diversity and seams: closed forms, a second library, planted differences."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from medsmith import phantom
from medsmith.errors import FileError
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.diversity import (
    _estimate,
    compare_diversity,
    ms_ssim,
    similarities,
)
from medsmith.evaluation.fidelity.permutation import permutation_test
from medsmith.evaluation.fidelity.seams import (
    PaintedCase,
    _borders,
    _layers,
    _patch,
    _places,
    boxes_of,
    grown,
    measure_seams,
    teaching,
)
from medsmith.evaluation.pages.sections import seam_sentence
from medsmith.evaluation.painted_cases import painted_cases


def test_the_permutation_test_is_exact_on_equal_laws():
    rng = np.random.default_rng(0)
    found = [
        permutation_test(rng.normal(size=(9, 3)), rng.normal(size=(6, 3)), seed=k, permutations=39).p
        for k in range(300)
    ]
    # p <= .05 has the probability 2/40 of its definition; the standard error is .013.
    assert 0.015 < np.mean(np.array(found) <= 0.05) < 0.09


def test_the_permutation_test_sees_another_law():
    rng = np.random.default_rng(1)
    test = permutation_test(rng.normal(size=(40, 4)), rng.normal(size=(30, 4)) + 1, seed=0, permutations=199)
    assert test.p == 1 / 200
    assert (test.real, test.synthetic) == (40, 30)


def textured(rng, shape):
    image = rng.normal(size=shape)
    for axis in range(3):
        if shape[axis] > 1:
            image = image + np.roll(image, 1, axis) + np.roll(image, 2, axis)
    return np.clip(128 + 40 * image / image.std(), 0, 255)


@pytest.mark.parametrize("shape", [(112, 112, 1), (48, 48, 48)])
def test_ms_ssim_equals_monai(shape):
    from monai.metrics.regression import KernelType, MultiScaleSSIMMetric

    rng = np.random.default_rng(0)
    one = textured(rng, shape)
    other = np.clip(one + rng.normal(0, 15, shape), 0, 255)
    scales = 4 if shape[2] == 1 else 3
    weights = np.array((0.0448, 0.2856, 0.3001, 0.2363, 0.1333))[:scales]
    theirs = MultiScaleSSIMMetric(
        spatial_dims=2 if shape[2] == 1 else 3,
        data_range=255.0,
        kernel_type=KernelType.GAUSSIAN,
        kernel_size=11,
        kernel_sigma=1.5,
        weights=tuple(weights / weights.sum()),
    )
    batch = [torch.from_numpy(np.squeeze(image)[None, None]).float() for image in (one, other)]
    assert ms_ssim(one, other) == pytest.approx(float(theirs(*batch)), abs=1e-4)
    assert ms_ssim(one, one) == pytest.approx(1)


def test_a_cohort_that_repeats_itself_is_less_diverse():
    rng = np.random.default_rng(2)
    real = [textured(rng, (32, 32, 1)) for _ in range(12)]
    alike = [textured(rng, (32, 32, 1)) for _ in range(16)]
    repeated = [np.clip(real[0] + rng.normal(0, 5, (32, 32, 1)), 0, 255) for _ in range(12)]
    same, collapsed = compare_diversity(real, alike, seed=0), compare_diversity(real, repeated, seed=0)
    assert [*same] == ["MS-SSIM", "SSIM"]
    for name, found in same.items():
        assert found.difference.low < 0 < found.difference.high
        assert collapsed[name].difference.low > 0.2
        assert found.real.n == found.synthetic.n == 12


def test_similarities_are_means_over_pairs():
    rng = np.random.default_rng(4)
    images = [textured(rng, (32, 32, 1)) for _ in range(3)]
    found = compare_diversity(images, images[::-1], seed=0)
    for measure, name in enumerate(("MS-SSIM", "SSIM")):
        of_pairs = [similarities(images[i], images[j])[measure] for i, j in ((0, 1), (0, 2), (1, 2))]
        assert found[name].real.value == pytest.approx(np.mean(of_pairs))
        assert found[name].difference.value == pytest.approx(0)


@pytest.mark.parametrize("shape", [(40, 32, 1), (24, 20, 16)])
def test_ssim_equals_scikit_image(shape):
    rng = np.random.default_rng(3)
    one = textured(rng, shape)
    other = np.clip(one + rng.normal(0, 15, shape), 0, 255)
    flat = [np.squeeze(image) for image in (one, other)]
    theirs = structural_similarity(
        *flat, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255.0
    )
    assert similarities(one, other)[1] == pytest.approx(theirs, abs=1e-9)


def painted(seed, *, noise, shape=(40, 40, 24)):
    """Noise with a gradient; a box of it is drawn anew with noise of another strength."""
    rng = np.random.default_rng(seed)
    before = 10 * np.indices(shape)[0] + rng.normal(0, 20, shape)
    image, box = before.copy(), ((12, 12, 8), (28, 28, 18))
    region = tuple(slice(a, b) for a, b in zip(*box, strict=True))
    image[region] = 10 * np.indices(shape)[0][region] + rng.normal(0, noise, (16, 16, 10))
    return PaintedCase(image, np.zeros(shape, bool), [box], before)


def test_a_seam_is_found_and_none_where_there_is_none():
    with_seam = measure_seams((painted(k, noise=5) for k in range(8)), seed=0)
    without = measure_seams((painted(k, noise=20) for k in range(8)), seed=0)
    assert with_seam is not None
    assert without is not None
    assert with_seam.low > 0.8
    assert abs(without.value - 0.5) < 0.1
    assert (without.n, without.interval) == (4, "Student's t over scored cases")


@pytest.mark.slow
def test_the_interval_holds_one_half_where_there_is_no_seam():
    held = 0
    for trial in range(60):
        found = measure_seams((painted(10_000 + 100 * trial + k, noise=20) for k in range(8)), seed=trial)
        assert found is not None
        held += found.low <= 0.5 <= found.high
    assert held >= 52  # of 60 in which 95 % hold it, fewer do in 1 of 130


def test_pictures_have_seams_too_and_few_cases_none():
    cases = []
    for seed in range(6):
        volume = painted(seed, noise=3)
        cut = (volume.image[:, :, 12:13], volume.original[:, :, 12:13])
        cases.append(PaintedCase(cut[0], volume.lesion[:, :, :1], [((12, 12, 0), (28, 28, 1))], cut[1]))
    found = measure_seams(cases, seed=0)
    assert found is not None
    assert found.value > 0.8
    assert measure_seams(cases[:5], seed=0) is None


def test_the_borders_of_every_box_are_measured():
    boxes = [((8, 8, 0), (16, 16, 1)), ((40, 8, 0), (48, 16, 1)), ((8, 40, 0), (16, 48, 1))]
    before, nothing = np.zeros((64, 64, 1)), np.zeros((64, 64, 1), bool)
    image = before.copy()
    for low, high in boxes:
        image[tuple(map(slice, low, high))] = 1
    places = _borders(PaintedCase(image, nothing, boxes, before), np.random.default_rng(0))
    quadrants = [(int(voxel[0] >= 32), int(voxel[1] >= 32)) for voxel, _, _ in places]
    assert [quadrants.count(each) for each in ((0, 0), (1, 0), (0, 1))] == [14, 14, 14]  # 40 / 3, rounded up
    first = _borders(PaintedCase(image, nothing, boxes[:1], before), np.random.default_rng(0))
    assert all(1 in image[_patch(image.shape, *place[:2])] for place in first)


@pytest.mark.parametrize(("axis", "inward"), [(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)])
def test_half_of_a_patch_was_painted_from_outside_to_inside(axis, inward):
    shape = (40, 40, 40)
    before, image = np.zeros(shape), np.zeros(shape)
    box = ((12, 12, 12), (28, 28, 28))
    image[tuple(map(slice, *box))] = 1
    image[20, 20, 20] = 0  # painted in the gray value that was there
    case = PaintedCase(image, np.zeros(shape, bool), [grown(box, (3, 3, 3), shape)], before)
    places = [place for place in _places(case, case.boxes[0], np.random.default_rng(0)) if place[1:] == (axis, inward)]
    assert len(places) == 16 * 16
    inner = next(place for place in places if all(16 <= place[0][other] <= 24 for other in range(3) if other != axis))
    assert _layers(image, inner).mean((1, 2)).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_painted_rim_that_shows_only_beside_its_lesion_is_no_seam_to_search():
    def rimmed(seed):
        case = painted(seed, noise=5)
        box = tuple(map(slice, *case.boxes[0]))
        lesion = case.lesion.copy()
        lesion[box] = True
        return PaintedCase(case.image, lesion, [grown(case.boxes[0], (3, 3, 3), case.image.shape)], case.original)

    assert measure_seams(map(rimmed, range(8)), seed=0) is None


@pytest.mark.parametrize(
    ("low", "value", "high", "words"),
    [
        (0.45, 0.75, 1.0, ": no seam that 6 cases can show."),
        (0.45, 0.5, 0.55, "cannot be told from untouched image."),
        (0.51, 0.55, 0.59, "painted regions have seams."),
        (0.7, 0.9, 1.0, "instead of the lesion."),
    ],
)
def test_the_page_claims_no_more_on_seams_than_the_interval_shows(low, value, high, words):
    assert seam_sentence(Estimate(value, low, high, 6, "Student's")).endswith(words)


def test_the_interval_of_diversity_is_that_of_welch():
    variances = (0.002, 0.0005)
    found = _estimate(0.5, variances, 10, (-1.0, 1.0))
    # Two samples of 10 whose means have these variances: standard deviation (10 variance) ** .5 each.
    first, second = (np.linspace(-1, 1, 10) for _ in variances)
    first, second = (x / x.std(ddof=1) * (10 * v) ** 0.5 for x, v in zip((first, second), variances, strict=True))
    low, high = stats.ttest_ind(first + 0.5, second, equal_var=False).confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([low, high])
    single = _estimate(0.5, (0.002,), 10, (0.0, 1.0))
    assert single.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 9) * 0.002**0.5)
    assert (single.interval, found.interval) == (
        "Student's, jackknife over cases",
        "Student's, jackknife over the cases of both cohorts",
    )
    assert _estimate(1.0, (0.0, 0.0), 10, (-1.0, 1.0)).low == 1


def test_an_interval_of_diversity_ends_where_similarities_do():
    found = [_estimate(value, (0.1,), 4, (0.0, 1.0)) for value in (0.1, 0.9)]
    assert (found[0].low, found[1].high) == (0, 1)
    assert _estimate(0.0, (0.5, 0.5), 4, (-1.0, 1.0)).low == -1


def test_cases_of_one_scan_all_teach_or_none():
    scans = ["scan a", "scan b", "scan a", "3", "4", "5", "scan b", "7"]
    for seed in range(5):
        teaches = teaching(scans, np.random.default_rng(seed))
        assert teaches[0] == teaches[2]
        assert teaches[1] == teaches[6]
        assert sum({scan: bool(known) for scan, known in zip(scans, teaches, strict=True)}.values()) == 3
    assert sum(teaching(["scan a"] * 7, np.random.default_rng(0))) == 4


def test_the_intervals_of_a_similarity_end_at_its_bounds():
    rng = np.random.default_rng(4)
    images = [np.repeat(rng.uniform(0, 255, (4, 4, 1)), 4, 0).repeat(4, 1).astype(np.float32) for _ in range(3)]
    alike = [images[0], images[0] + 1, rng.uniform(0, 255, (16, 16, 1)).astype(np.float32)]
    found = compare_diversity(alike, images, seed=0)["MS-SSIM"]
    assert found.real.low == 0 < found.real.value < found.real.high <= 1
    assert 0 <= found.synthetic.low <= found.synthetic.high <= 1
    assert -1 <= found.difference.low <= found.difference.value <= found.difference.high <= 1


def test_opposite_images_have_a_negative_ssim_within_its_interval():
    rng = np.random.default_rng(5)
    one = rng.choice([0.0, 255.0], (24, 24, 1))
    found = compare_diversity([one, 255 - one, one + 0], [one, one, one], seed=0)["SSIM"]
    opposite = similarities(one, 255 - one)[1]
    assert opposite < -0.9
    assert found.real.value == pytest.approx((2 * opposite + 1) / 3)
    assert -1 == found.real.low < found.real.value < found.real.high <= 1
    assert found.difference.value == pytest.approx(1 - found.real.value)
    assert 1 < found.difference.value < found.difference.high <= 2


def test_patches_never_show_the_lesion():
    case = painted(0, noise=20)
    everywhere = PaintedCase(case.image, np.ones(case.image.shape, bool), case.boxes, case.original)
    assert measure_seams([everywhere] * 8, seed=0) is None


def test_boxes_come_from_the_provenance():
    record = {"lesions": [{"box": [[1, 2, 3], [4, 5, 6]]}, {"visible": False}]}
    assert boxes_of(record) == [((1, 2, 3), (4, 5, 6))]
    assert boxes_of(None) == boxes_of({"seed": 3}) == []
    assert grown(((1, 2, 3), (4, 5, 6)), (2, 2, 2), (9, 9, 7)) == ((0, 0, 1), (6, 7, 7))


@pytest.mark.parametrize("box", ["abcdef", [[1], [2]], [1, 2], [[None] * 3, [1, 2, 3]], [[0, 0, 0], [2.0, 2, 2]]])
def test_a_box_that_is_none_is_told(box):
    with pytest.raises((TypeError, ValueError)):
        boxes_of({"lesions": [{"box": box}]})


def test_an_empty_box_is_told():
    with pytest.raises(ValueError, match="holds no voxel"):
        boxes_of({"lesions": [{"box": [[9, 9, 0], [1, 1, 1]]}]})


@pytest.mark.parametrize(
    ("box", "line"),
    [
        ([[9, 9, 0], [1, 1, 1]], "is damaged; it holds what medsmith does not write; restore or remove it"),
        ([[32, 2, 0], [40, 9, 1]], "names a box outside the image; 32 x 32 x 1 voxels; restore or remove it"),
        ([[10**30, 2, 0], [10**31, 9, 1]], "names a box outside the image; 32 x 32 x 1 voxels; restore or remove it"),
        ([[-5, -5, 0], [5, 0, 1]], "names a box outside the image; 32 x 32 x 1 voxels; restore or remove it"),
    ],
)
def test_a_provenance_with_a_wrong_box_is_refused_by_name(tmp_path, box, line):
    made = phantom("breast", tmp_path / "made", 1, size=32)
    path = tmp_path / "made" / "provenance" / f"{made.ids[0]}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lesions": [{"box": box}]}))
    with pytest.raises(FileError, match=f"^{re.escape(f'{path}: {line}')}$"):
        list(painted_cases(made, [made], "ultrasound"))


def test_boxes_that_reach_beyond_the_image_are_cut(tmp_path):
    made = phantom("breast", tmp_path / "made", 1, size=32)
    path = tmp_path / "made" / "provenance" / f"{made.ids[0]}.json"
    said = {"template": made.ids[0], "lesions": [{"box": [[-9, 28, 0], [4, 50, 1]]}]}
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))
    (found,) = painted_cases(made, [made], "ultrasound")
    (((low_x, low_y, _), (high_x, high_y, _)),) = found.boxes
    assert (low_x, high_y) == (0, 32)
    assert 0 < low_y < 28 < 32
    assert 4 < high_x < 32
    assert list(painted_cases(made, [], "ultrasound")) == []  # what was painted on is not at hand
