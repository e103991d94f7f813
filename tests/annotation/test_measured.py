import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medsmith.annotation.loop import reason_to_stop
from medsmith.annotation.measured import Measured, rise
from medsmith.annotation.records import ControlRecord, TurnRecord
from medsmith.annotation.result import Annotation, choose, control_line, turn_line

LABELS = ("heart", "aorta")


def measured(scores, patients=None, having=None):
    """Dice of cases; by default each is a patient, and all labels have the same."""
    scores = np.asarray(scores, float)
    rows = scores if scores.ndim == 2 else np.stack([scores, scores], axis=1)
    ids = [f"c{number}" for number in range(len(rows))]
    return Measured(
        labels=LABELS,
        patients=dict(zip(ids, patients or [f"patient {id}" for id in ids], strict=True)),
        dice={
            id: tuple(None if np.isnan(score) else score for score in row)
            for id, row in zip(ids, rows.tolist(), strict=True)
        },
        patients_with=dict.fromkeys(LABELS, len(set(patients or ids))) | (having or {}),
    )


def turn(number, scores, **changes):
    facts = {
        "annotated": 9,
        "space": "s",
        "rejection": 0.25,
        "pairs": 5,
        "labeler": "l",
        "steps": 7,
        "confidence": 0.9,
    }
    agreement = None if number == 1 else 0.75
    return TurnRecord(number=number, measured=measured(scores), **{"agreement": agreement, **facts, **changes})


def control(scores):
    return ControlRecord(labeler="c", steps=7, measured=measured(scores))


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=2, max_size=12))
def test_the_rise_is_the_mean_paired_difference_with_its_standard_error(rows):
    numbers = np.array(rows)
    after, before = measured(numbers[:, :2]), measured(numbers[:, 2:])
    differences = numbers[:, :2].mean(axis=1) - numbers[:, 2:].mean(axis=1)
    found = rise(after, before)
    assert found.value == pytest.approx(differences.mean(), abs=1e-12)
    assert found.error == pytest.approx(stats.sem(differences), abs=1e-12)
    assert rise(before, after).value == pytest.approx(-found.value)
    assert found.exceeds_error == (found.value > found.error)


def test_the_patient_is_the_unit():
    patients = ["a", "b", "a", "b", "b"]
    after, before = [0.8, 0.5, 0.6, 0.7, 0.6], [0.5, 0.5, 0.5, 0.6, 0.4]
    one, other = (measured(scores, patients) for scores in (after, before))
    assert one.by_patient[:, 0].tolist() == pytest.approx([0.7, 0.6])
    assert one.mean == pytest.approx(0.65)
    found = rise(one, other)
    assert (found.value, found.error) == pytest.approx((0.15, stats.sem([0.2, 0.1])))
    assert one.estimate.n == 2


def test_intervals_end_where_dice_does():
    after, before = measured([[0.98, 0.0], [1.0, 0.1]]), measured([[0.0, 0.0], [0.1, 0.1]])
    assert after.label_estimates["heart"].high == 1
    assert after.label_estimates["aorta"].low == 0
    assert (measured([0.9, 1.0]).estimate.high, measured([0.0, 0.1]).estimate.low) == (1, 0)
    assert rise(measured([1.0, 1.0, 0.4]), measured([0.0, 0.0, 0.0])).interval.high == 1
    assert rise(before, after).interval.low > -1


NONE = float("nan")


def test_slices_without_the_label_in_reference_and_prediction_say_nothing():
    # Heart in one slice of each patient; the aorta is predicted where it is not, in one slice of b alone.
    found = measured([[0.6, NONE], [NONE, NONE], [0.4, 0.8], [NONE, 0.0]], ["a", "a", "b", "b"])
    assert np.array_equal(found.by_patient, [[0.6, NONE], [0.4, 0.4]], equal_nan=True)
    assert found.patient_means.tolist() == pytest.approx([0.6, 0.4])
    assert found.mean == pytest.approx(0.5)
    assert (found.label_estimates["heart"].n, found.label_estimates["aorta"].n) == (2, 1)
    assert Measured.model_validate_json(found.model_dump_json()) == found


def test_slices_are_not_called_patients(tmp_path):
    ids = ["c0", "c1"]
    rows = [[0.5, NONE], [0.6, 0.7]]
    slices, patients = (measured(rows, owners, {"aorta": 1}) for owners in (ids, ["a", "b"]))
    assert (slices.unit, patients.unit) == ("slices", "patients")
    assert slices.estimate.interval == rise(slices, slices).interval.interval == "Student's t over slices"
    assert slices.left_out == {"aorta": "in 1 withheld slice, left out"}
    of_control = ControlRecord(labeler="c", steps=7, measured=slices)
    made = turn(1, rows).model_copy(update={"measured": slices})
    assert "which 2 slices cannot tell from none" in Annotation(tmp_path, of_control, (made,), 0, "stopped").line


def test_a_label_of_fewer_than_two_patients_is_left_out_of_the_mean():
    rows = [[0.6, NONE], [0.4, 0.99]]
    rare, again = measured(rows, having={"aorta": 1}), measured([[0.7, NONE], [0.6, 0.1]], having={"aorta": 1})
    assert rare.mean == pytest.approx(0.5)
    assert rare.left_out == {"aorta": "in 1 withheld patient, left out"}
    assert measured(rows, having={"aorta": 0}).left_out == {"aorta": "in no withheld patient, left out"}
    assert list(rare.label_estimates) == ["heart"]
    assert rise(again, rare).differences == pytest.approx((0.1, 0.2))
    made = ControlRecord(labeler="c", steps=7, measured=rare)
    assert control_line(made, 3).startswith(
        "control: Dice 0.500 (heart 0.500, aorta: in 1 withheld patient, left out); "
    )
    with pytest.raises(ValueError, match="no label is in the reference of 2 patients"):
        measured(rows, having={"heart": 1, "aorta": 1})


def test_the_rise_leaves_out_a_patient_that_a_labeler_has_no_dice_of():
    after, before = [[0.6, 0.8], [0.7, 0.7], [NONE, NONE]], [[0.5, 0.7], [0.5, 0.5], [0.0, NONE]]
    assert rise(measured(after), measured(before)).differences == pytest.approx((0.1, 0.2))


@pytest.mark.parametrize(
    ("gains", "stops"),
    # Standard errors: 0.01 of the first two lists, 0 of the last two.
    [([0.0, 0.02], True), ([0.001, 0.021], False), ([0.0, 0.0], True), ([0.01, 0.01], False), ([-0.1, -0.1], True)],
)
def test_the_loop_stops_unless_the_rise_exceeds_its_standard_error(gains, stops):
    base = np.array([0.5, 0.625])
    turns = [turn(1, base), turn(2, base + gains)]
    assert reason_to_stop(turns, 5).startswith("stopped because turn 2" if stops else "") is True
    assert bool(reason_to_stop(turns, 5)) is stops


def test_the_loop_stops_at_the_number_of_turns():
    assert not reason_to_stop([], 1)
    assert reason_to_stop([turn(1, [0.5, 0.6])], 1) == "stopped after 1 turns as asked"
    assert not reason_to_stop([turn(1, [0.5, 0.6])], 2)


def test_the_best_labeler_is_chosen_and_a_tie_goes_to_the_control():
    low, high = [0.5, 0.6], [0.7, 0.8]
    assert choose(control(low), [turn(1, low), turn(2, high), turn(3, high)]) == 2
    assert choose(control(high), [turn(1, low), turn(2, high)]) == 0


def test_the_final_line_says_who_was_better_and_how_clearly(tmp_path):
    of_control = control([0.7, 0.8])
    better = Annotation(tmp_path, of_control, (turn(1, [0.8, 0.91]),), 1, "stopped")
    said = "Dice 0.855 in turn 1, 0.750 in the control, difference +0.105 (95 % interval +0.041 to +0.169, without "
    said += "the randomness of training)"
    assert better.line == f"{tmp_path / 'annotated'}: labels of turn 1; {said}; stopped"
    worse = Annotation(tmp_path, of_control, (turn(1, [0.6, 0.69]),), 0, "stopped")
    assert "labels of the control, trained on the labeled slices alone: it is better" in worse.line
    assert "difference -0.105" in worse.line
    assert "cannot tell" not in worse.line
    doubtful = Annotation(tmp_path, of_control, (turn(1, [0.9, 0.61]),), 1, "stopped")
    assert (
        "difference +0.005 (95 % interval -1.000 to +1.000, without the randomness of training), "
        "which 2 patients cannot tell from none"
    ) in doubtful.line


def test_the_final_line_names_labels_that_were_not_learned(tmp_path):
    """Of the labeler that was taken, by the mean over patients; others do not count."""
    of_control = control([[0.0, 0.0], [0.0, 0.0]])
    failed = turn(1, [[0.9, 0.0], [0.8, 0.19]])
    learned = turn(2, [[0.9, 0.1], [0.8, 0.1]])

    def chosen(number):
        return Annotation(tmp_path, of_control, (failed, learned), number, "stopped after 2 turns")

    assert chosen(0).line.endswith("; stopped after 2 turns; heart, aorta: Dice below .1, not usable")
    assert chosen(1).line.endswith("; stopped after 2 turns; aorta: Dice below .1, not usable")
    assert chosen(2).line.endswith("; stopped after 2 turns")
    found = [chosen(number).as_json({}, {})["labels_not_usable"] for number in range(3)]
    assert found == [("heart", "aorta"), ("aorta",), ()]


def test_a_label_that_is_left_out_of_the_mean_is_not_called_unusable():
    rare = measured([[0.8, 0.0], [0.8, NONE]], having={"aorta": 1})
    assert rare.not_usable == ()


def test_the_line_of_a_turn_has_cost_quality_and_the_control_beside():
    of_control, first = control([0.7, 0.8]), turn(1, [0.6, 0.8])
    line = turn_line(turn(2, [0.65, 0.85]), first, of_control, 12.4)
    assert line == (
        "turn 2: Dice 0.750 (heart 0.750, aorta 0.750); "
        "+0.050 (standard error 0.000) over turn 1; "
        "control 0.750, +0.000 (standard error 0.050) over it; agreement with turn 1 0.750; "
        "5 pairs, 25% of anatomies illegal, space of 9 slices; 12 s"
    )
    assert control_line(of_control, 3).endswith("; 7 steps; 3 s")
    assert "over turn" not in turn_line(first, None, of_control, 1)
