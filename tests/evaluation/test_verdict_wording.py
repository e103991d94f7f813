"""What the summary says of distances and masks: the verdicts of permutation tests."""

from dataclasses import replace

import numpy as np
import pytest

from medsmith.data.copies import Searchable
from medsmith.evaluation.compare_masks import compare_masks
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import Comparison, ComparisonPlan
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.permutation import PermutationTest, corrected
from medsmith.evaluation.fidelity.views import ViewSpec
from medsmith.evaluation.pages.answer import mask_p_values, real_enough
from medsmith.evaluation.pages.sections import permutation_sentence
from medsmith.evaluation.pages.verdicts import disagreement, image_verdict, mask_lines, mask_verdict
from medsmith.evaluation.result import Evaluation

PLAN = ComparisonPlan(splits=2, halvings=2)
SPEC = ViewSpec((32, 32, 1), 0, "", None, in_millimeters=False, use_labels=False)


def evaluation_of(p_values, low=-1.0, high=3.0):
    """An evaluation by some sets of features, all with one interval above the floor."""
    part = Estimate(5.0, 4.0, 6.0, 20, "a method")
    compared = Comparison(part, part, Estimate((low + high) / 2, low, high, 20, "a method"), part)
    tests = {name: PermutationTest(0.1, p, 20, 20, 999) for name, p in p_values.items()}
    distances = {name: {FRECHET.name: compared} for name in p_values}
    return Evaluation(SPEC, PLAN, {}, distances, None, {}, {}, permutations=corrected(tests))


@pytest.mark.parametrize(
    ("p", "low", "high", "said"),
    [
        (0.02, -1.0, 3.0, "The cohorts differ by more than chance (permutation test of all cases, p = 0.02)"),
        (0.2, -1.0, 3.0, "does not distinguish the cohorts (p = 0.2); the distance is 1 (-1 to 3) above the floor."),
        (0.2, 1.0, 3.0, "(p = 0.2), but the distance is 2 (1 to 3) above the floor, which is beyond its interval"),
        (0.02, -3.0, -1.0, "Synthetic cases lie nearer to the real ones than other real cases do, as copies would"),
    ],
)
def test_a_verdict_on_images_is_that_of_the_permutation_test(p, low, high, said):
    assert said in image_verdict(evaluation_of({"a": p}, low, high), "a")


def test_p_values_are_corrected_for_the_number_of_sets_of_features_and_shown():
    found = evaluation_of({"a": 0.02, "b": 0.04, "c": 0.001})
    assert [test.corrected for test in found.permutations.values()] == pytest.approx([0.04, 0.04, 0.003])
    assert "p = 0.02, by Holm over 3 sets of features 0.04" in image_verdict(found, "a")
    assert "p = 0.02, by Holm over 3 sets of features 0.04; 20 real" in permutation_sentence(found, "a")
    assert disagreement(found) == []
    (line,) = disagreement(evaluation_of({"a": 0.03, "b": 0.5, "c": 0.001}))
    said = "the cohorts differ by c (0.003), and are not told apart by a (0.06); b (0.5) (p by Holm)."
    assert line == f"The measures disagree: {said}"


def cohort_of(columns, count):
    """Measures of one label, in a cohort of some cases with labels."""
    ids, columns = tuple(map(str, range(count))), {name: np.array(values, float) for name, values in columns.items()}
    return CohortFeatures(ids, (), ids, {}, Searchable.of(()), {"mass": columns}, ())


def masks_of(real, synthetic, count=(9, 10)):
    return compare_masks(cohort_of(real, count[0]), cohort_of(synthetic, count[1]), PLAN)["mass"]


def test_a_planted_difference_of_components_is_named_with_medians_and_p_and_others_are_not():
    rng = np.random.default_rng(0)
    real = {"components": [1] * 9, "solidity": rng.uniform(size=9), "elongation": rng.uniform(size=9)}
    synthetic = {"components": [2] * 10, "solidity": rng.uniform(size=10), "elongation": rng.uniform(size=10)}
    assert mask_verdict("mass", masks_of(real, synthetic)) == (
        "Masks of mass differ in components (median 1 real, 2 synthetic; Kolmogorov-Smirnov distance 1.00, p = 0.0006)."
        " p: permutation tests, corrected for their number (Holm)."
    )


def test_masks_that_some_cases_lack_differ_in_their_share():
    found = masks_of({"solidity": [0.5, 0.6] * 4 + [0.7]}, {"solidity": [0.5]})
    assert "share of cases with it (100 % of the real, 10 % of the synthetic; p = 0.0" in mask_verdict("mass", found)


def test_masks_that_are_not_told_apart_are_said_with_the_measure_that_is_farthest_apart():
    values = np.arange(10.0)
    line = mask_verdict("mass", masks_of({"a": values[:9], "b": values[:9]}, {"a": values, "b": values + 3}))
    assert line.startswith("Masks of mass: at this sample size (9 real and 10 synthetic cases that have it) no measure")
    assert "the farthest apart is b (median 4 real, 7.5 synthetic; Kolmogorov-Smirnov distance 0.40, p = " in line
    assert "are alike" not in line


def test_where_nothing_is_apart_no_measure_is_named():
    values = np.arange(9.0)
    line = mask_verdict("mass", masks_of({"a": values}, {"a": values}, count=(9, 9)))
    assert line.endswith(
        "no measure of presence, size, position or shape distinguishes the cohorts: their values are distributed alike."
    )
    one = mask_verdict("mass", masks_of({"a": values}, {"a": [0, *values[:8]]}, count=(9, 9)))
    assert "the farthest apart is a (" in one


def test_where_no_difference_could_ever_show_the_verdict_says_so():
    found = masks_of({"a": [1, 2, 3]}, {"a": [7, 8, 9]}, count=(3, 3))
    assert found.measures["a"].test.p == pytest.approx(2 / 20)
    said = "nothing can be said. With 3 real and 3 synthetic cases that have it no difference, however large, could"
    assert said in mask_verdict("mass", found)
    more = masks_of({"a": [1, 2, 3, 4]}, {"a": [6, 7, 8, 9]}, count=(4, 4))
    assert mask_verdict("mass", more).startswith("Masks of mass differ in a")
    apart = {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}, {"a": [6, 7, 8, 9], "b": [1, 2, 3, 4]}
    assert "nothing can be said" in mask_verdict("mass", masks_of(*apart, count=(4, 4)))


SAME = {"a": np.arange(9.0)}, {"a": np.arange(10.0)}
MOVED = {"a": np.arange(9.0)}, {"a": np.arange(10.0) + 20}
NONE: tuple[dict[str, list[float]], dict[str, list[float]]] = {}, {}


def test_masks_that_differ_make_a_cohort_told_apart_though_its_images_are_not():
    alike = replace(evaluation_of({"a": 0.4}), extractors={"a": "weights"}, masks={"mass": masks_of(*SAME)})
    assert real_enough(alike) == (
        "Real enough? As far as these cases can tell: not told apart by a (p = 0.4; Fréchet distance 5 (4 to 6), "
        "floor 5 (4 to 6), n 20); the masks of mass (p 1)."
    )
    other = replace(alike, masks={"mass": masks_of(*MOVED), "cyst": masks_of(*SAME)})
    said = real_enough(other)
    assert said.startswith(
        "Real enough? No: told apart from real cases by the masks of mass (p 0.0004), by Holm over 2 labels."
    )
    assert said.endswith("Not told apart by a (p = 0.4; Fréchet distance 5 (4 to 6), floor 5 (4 to 6), n 20).")


def test_parts_of_an_extractor_can_tell_a_cohort_apart():
    found = replace(evaluation_of({"a": 0.9, "a, inside the labels": 0.001}), extractors={"a": ""})
    said = "by a, inside the labels (p = 0.001, by Holm over 2 sets of features 0.002)."
    assert real_enough(found).startswith(f"Real enough? No: told apart from real cases {said}")


def test_the_answer_on_masks_is_corrected_for_the_number_of_labels():
    weak = {"a": [1, 2, 3, 4]}, {"a": [6, 7, 8, 9]}
    one = masks_of(*weak, count=(4, 4))
    found = replace(evaluation_of({}), masks=dict.fromkeys("abc", one))
    (p,) = {test.corrected for name, test in one.tests.items() if name == "a"}
    assert p == pytest.approx(2 / 70)
    assert list(mask_p_values(found).values()) == pytest.approx([6 / 70] * 3)
    assert real_enough(found).startswith(
        "Real enough? As far as these cases can tell: not told apart by the masks of a (p"
    )
    assert real_enough(found).endswith("by Holm over 3 labels. Images were not compared.")


def test_nothing_that_could_differ_is_no_answer():
    few = masks_of({"a": [1, 2, 3]}, {"a": [7, 8, 9]}, count=(3, 3))
    assert real_enough(replace(evaluation_of({}), masks={"mass": few})).startswith(
        "Real enough? Unknown: nothing could"
    )


def test_labels_that_no_case_has_are_not_short_of_cases():
    assert mask_verdict("skull", masks_of(*NONE)) == "Masks of skull: no case of either cohort has it."


def test_labels_of_a_kind_share_a_sentence_but_those_that_differ():
    masks = {
        "a": masks_of(*SAME),
        "b": masks_of(*MOVED),
        "c": masks_of(*SAME),
        "d": masks_of(*NONE),
        "e": masks_of(*NONE),
    }
    differs, alike, absent, note = mask_lines(masks)
    assert differs == mask_verdict("b", masks["b"])
    assert alike.startswith("Masks of a, c: not told apart at this sample size")
    assert absent == "Masks of d, e: no case of either cohort has one of them."
    assert note.startswith("Each label is tested by itself: of 5 labels")
    assert mask_lines({"a": masks["a"]}) == [mask_verdict("a", masks["a"])]
