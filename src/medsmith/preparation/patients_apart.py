"""Refuses a patient whose cases are on both sides, learned from and tested on."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from medsmith.errors import CohortError, counted
from medsmith.preparation.split import patient_groups


def check_patients_apart(
    place: Path | str, kept: Iterable[str], others: Mapping[str, Iterable[str]], group: str | None
) -> None:
    """Refuse patients who have cases among those kept for a test and among others.

    An id in which no patient is found is refused on either side: whose case it is, and so whether the sides are apart,
    could not be told.

    Args:
        place: of the cases kept for a test, for the message.
        kept: their ids.
        others: what the other cases are -> their ids.
        group: regular expression that finds the patient in an id; None: each case is of another one, and nothing is
            checked.

    Raises:
        RequestError: the expression is invalid, does not match every id, or finds an empty name.
        CohortError: a patient is on both sides.
    """
    if group is None:
        return
    ours = patient_groups(tuple(kept), group).keys()
    for what, ids in others.items():
        both = sorted(ours & patient_groups(tuple(ids), group).keys())
        if both:
            have = "has" if len(both) == 1 else "have"
            found = f"{counted(len(both), 'patient')} {have} {what} cases as well ({both[0]})"
            raise CohortError(place, found, "no patient on both sides", "split the cohorts by patient (split --group)")
