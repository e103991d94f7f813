"""Whose cases a run learns from and tests on: several of one patient are one in its intervals."""

from collections.abc import Mapping

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, RequestError, counted
from medsmith.evaluation.privacy.inputs import check_patients
from medsmith.evaluation.scope import MIN_REAL
from medsmith.preparation.split import patient_groups

TRAIN, TEST = "train", "test"


def check_test_patients(given: Mapping[str, Cohort], group: str | None) -> None:
    """Refuses an expression that does not find the patients of all cases, and too few patients to test on.

    Args:
        given: name -> cohort; those to learn from and to test on, or neither.
        group: regular expression that finds the patient in an id; None: each case is of another one.

    Raises:
        RequestError: the expression is invalid, does not fit every id, finds an empty name, or phantoms take the place
            of cohorts.
        CohortError: a patient is in both cohorts, or there are too few to test on.
    """
    if TEST not in given:
        if group is not None:
            limit, cure = "phantoms are one patient each", "give --real and --test, or no --group"
            raise RequestError("--group", "there are no cohorts of patients", limit, cure)
        return
    check_patients({"training": given[TRAIN], "held-out": given[TEST]}, group)
    if len(patient_groups(given[TEST].ids, group)) < MIN_REAL:
        found = held_line(given[TEST], group)
        raise CohortError(given[TEST].root, found, f"at least {MIN_REAL} to test on", "give a larger cohort")


def held_line(cohort: Cohort, group: str | None) -> str:
    """Its cases and, where an expression finds them, its patients."""
    of = "" if group is None else f" of {counted(len(patient_groups(cohort.ids, group)), 'patient')}"
    return f"{counted(len(cohort), 'case')}{of}"


def patients_sentence(given: Mapping[str, Cohort], group: str | None) -> str:
    """What of the results counts patients; "" of phantoms, which are one each.

    Args:
        given: as in ``check_test_patients``.
        group: as there.
    """
    if TEST not in given:
        return ""
    if group is None:
        return (
            "No --group: each case counts as a patient. Where a patient has several, intervals are too narrow, and "
            "cases of one may be learned from and tested on."
        )
    return (
        f"{held_line(given[TRAIN], group)} to learn from, {held_line(given[TEST], group)} to test on (--group). "
        "Distances compare one test case of each patient, drawn at random; Dice is a mean over patients; R is of whole "
        "patients, with at most half of the cases, or with all of a single patient."
    )
