import json
import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import KDTree
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from medsmith.evaluation.downstream import arm_results
from medsmith.evaluation.downstream.lesions import equivalent_diameter, lesion_counts
from medsmith.evaluation.downstream.measures import (
    FALSE_ALARMS,
    LESIONS,
    MEASURES,
    is_measured,
    measured_case,
    overlap_measures,
    surface_measures,
)
from medsmith.evaluation.downstream.scores import ArmScores, by_patient, lesion_f1, lesions_of


def blob(shape, seed):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return field > np.quantile(field, 0.8)


@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_that_of_scikit_learn(seed):
    predicted, truth = blob((12, 14), seed), blob((12, 14), seed + 5000)
    found, both = overlap_measures(predicted, truth), (truth.ravel(), predicted.ravel())
    expected = {"dice": f1_score, "iou": jaccard_score, "precision": precision_score, "recall": recall_score}
    assert found == pytest.approx({name: score(*both, zero_division=0) for name, score in expected.items()})


def surface_points(mask, spacing):
    inside = ndimage.binary_erosion(mask)
    return np.argwhere(mask & ~inside) * spacing


@pytest.mark.parametrize(("shape", "spacing"), [((24, 20), (0.7, 1.5)), ((14, 12, 10), (1.0, 0.8, 2.5))])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_surfaces_are_those_of_a_search_among_all_points(shape, spacing, seed):
    predicted, truth = blob(shape, seed), blob(shape, seed + 50)
    one, other = (surface_points(mask, spacing) for mask in (predicted, truth))
    there, back = KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    found = surface_measures(predicted, truth, spacing, 2.0)
    assert found["nsd"] == pytest.approx(np.mean(np.concatenate([there, back]) <= 2.0), abs=1e-6)
    assert found["hd95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-5)


def test_two_shifted_squares_have_their_closed_forms():
    truth, predicted = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[4:10, 4:10] = predicted[4:10, 7:13] = True
    assert overlap_measures(predicted, truth) == pytest.approx(
        {"dice": 0.5, "iou": 1 / 3, "precision": 0.5, "recall": 0.5}
    )
    found = surface_measures(predicted, truth, (1.0, 2.0), 5.9)
    assert found["hd95"] == pytest.approx(6.0)
    assert found["nsd"] < 1
    assert surface_measures(predicted, truth, (1.0, 2.0), 6.0)["nsd"] == 1


def test_what_is_missed_and_what_is_not_there():
    truth = np.zeros((12, 16), np.uint8)
    truth[2:6, 2:6] = 1
    predicted = np.zeros_like(truth)
    predicted[2:6, 10:14] = 2
    found = measured_case(predicted, truth, 3, ((1.0, 1.0), 2.0), (3.0,))
    assert [found[name][0] for name in MEASURES] == [0, 0, 0, 0, 0, pytest.approx(math.hypot(12, 16))]
    assert [found[name][1] for name in MEASURES] == [None] * 6
    assert found[FALSE_ALARMS] == [None, 1]
    assert found[LESIONS] == [[[0, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 1, 0]]]
    right = measured_case(truth, truth, 3, ((1.0, 1.0), 2.0), (3.0,))
    assert [right[name][0] for name in MEASURES] == [1, 1, 1, 1, 1, 0]
    assert right[FALSE_ALARMS] == [None, 0]


def test_lesions_are_paired_one_to_one_and_counted_by_size():
    truth, predicted = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    truth[2:5, 2:5] = truth[10:22, 10:22] = truth[30:33, 30:33] = True
    predicted[2:5, 2:5] = predicted[10:22, 10:16] = predicted[10:22, 17:22] = True  # one lesion in two parts
    predicted[35:38, 2:5] = predicted[0, 20:22] = True  # an invented one, and a speck that does not count
    limits = (float(equivalent_diameter(np.array([30]), (1.0, 1.0))[0]),)
    assert lesion_counts(predicted, truth, (1.0, 1.0), limits).tolist() == [[1, 1, 1], [1, 1, 0]]
    assert lesion_counts(truth, truth, (1.0, 1.0), limits).tolist() == [[2, 0, 0], [1, 0, 0]]


def test_a_lesion_that_is_hardly_touched_is_not_found():
    truth, predicted = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[5:10, 5:10] = True
    predicted[9:14, 9:14] = True  # IoU 1 / 49
    assert lesion_counts(predicted, truth, (1.0, 1.0), ()).tolist() == [[0, 1, 1]]


def test_equivalent_diameters_are_those_of_circle_and_ball():
    assert equivalent_diameter(np.array([100]), (0.5, 2.0)) == pytest.approx(2 * math.sqrt(100 / math.pi))
    assert equivalent_diameter(np.array([1000]), (1.0, 1.0, 2.0)) == pytest.approx((12000 / math.pi) ** (1 / 3))


def test_scores_are_averaged_over_structures_then_cases_then_patients():
    values = np.array([[0.2, 0.4], [0.8, np.nan], [np.nan, np.nan], [0.5, 0.7]])[None, None]
    assert by_patient(values, np.array([0, 0, 1, 2])) == pytest.approx(np.array([[[0.55, 0.6]]]))


def test_patients_whose_masks_are_all_empty_are_counted_and_have_no_dice():
    values = np.array([[0.2, 0.4], [0.8, np.nan], [np.nan, np.nan], [0.5, 0.7]])[None, None]
    scores = ArmScores({"dice": values}, np.zeros((1, 1, 4, 2, 1, 3)))
    tested = arm_results.Tested(dict(zip("wxyz", "aabc", strict=True)), ("mass", "cyst"), True, 2.0)
    assert (tested.patient_count(scores), tested.unlabeled_count(scores)) == (2, 1)


def test_the_f1_of_lesions_is_that_of_all_cases_together():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (2, 2, 9, 1, 2, 3)).astype(float)
    counts[..., 0] = np.minimum(counts[..., 0], 2)
    counts[:, :, :, :, :, 2] = 3 - counts[..., 0]
    found = lesion_f1(counts, np.repeat(np.arange(3), 3), 1)
    tp, fp, fn = counts[:, :, :, 0, 1].sum(axis=2).transpose(2, 0, 1)
    assert found.mean(axis=2) == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert lesions_of(counts, 0) == lesions_of(counts, 1) == 27
    # The spread of the pseudo-values is the jackknife's, to first order.
    many = rng.poisson(3, (1, 1, 200, 1, 1, 3)).astype(float)
    pseudo = lesion_f1(many, np.arange(200), 0)[0, 0]
    left = [lesion_f1(np.delete(many, case, axis=2), np.arange(199), 0)[0, 0].mean() for case in range(200)]
    assert pseudo.std() / np.sqrt(200) == pytest.approx(np.std(left) * np.sqrt(199), rel=0.05)


def measured(structures):
    """Measures of a case of which the last structure is absent, as they come from a file."""
    truth = (blob((24, 24), 1) * 1).astype(np.uint8)
    found = measured_case(np.roll(truth, 2), truth, structures + 1, ((1.0, 1.0), 2.0), (2.4, 4.8))
    return json.loads(json.dumps(found))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dice", 1.1),
        ("iou", -0.1),
        ("hd95", math.inf),
        ("nsd", "0.5"),
        ("recall", None),
        ("precision", True),
        ("dice", [0.5]),
        (FALSE_ALARMS, 0),
        (LESIONS, [[0, 0, 0], [0, 0, 0]]),
        (LESIONS, [[0, 0, 0], [0, 0, 0], [0, 0]]),
        (LESIONS, [[0, 0, 0], [0, 0, 0], [0, 0, -1]]),
        (LESIONS, [[0, 0, 0], [0, 0, 0], [0, 0, 0.5]]),
        (LESIONS, {}),
    ],
)
def test_a_damaged_measure_is_noticed(name, value):
    found = measured(2)
    assert is_measured(found, 2)
    found[name][0] = value
    assert not is_measured(found, 2)


def test_measures_of_other_structures_or_names_are_noticed():
    assert not is_measured(measured(2), 1)
    assert not is_measured(measured(2) | {"dice": 0.5}, 2)
    assert not is_measured({**measured(2), "more": [0, 0]}, 2)
    assert not is_measured([measured(2)], 2)
    absent = measured(2)
    absent[FALSE_ALARMS][1] = 2
    assert not is_measured(absent, 2)
