"""Whether cohorts are given in the roles that they fit: real ones as real, synthetic ones as synthetic."""

from collections import Counter
from collections.abc import Mapping

from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError

_PHANTOM = "phantom "
"""Begins the method in the provenance of a phantom, which stands in for a real case."""


def check_roles(real: Mapping[str, Cohort], synthetic: Cohort) -> None:
    """Refuses cohorts that were swapped: a real one all of whose cases were made, beside a synthetic one without any.

    Args:
        real: what each is -> the cohorts that are given as real ones.
        synthetic: that is given as the synthetic one; made by others, it may carry no mark.

    Raises:
        CohortError: they were swapped.
    """
    if made_by(synthetic):
        return
    for what, cohort in real.items():
        makers = made_by(cohort)
        if len(cohort) and makers.total() == len(cohort):
            found = f"is given as the {what} cohort and is synthetic (made by {_listed(makers)})"
            limit = f"{synthetic.root}, given as the synthetic one, is not"
            raise CohortError(cohort.root, found, limit, "swap them")


def role_notes(real: Mapping[str, Cohort]) -> tuple[str, ...]:
    """One sentence on each cohort given as a real one that holds synthetic cases; phantoms are none.

    Args:
        real: what each is -> the cohort.
    """
    found = {what: (made_by(cohort), len(cohort)) for what, cohort in real.items()}
    return tuple(
        f"Caution: {makers.total()} of {count} {what} cases are synthetic themselves (made by {_listed(makers)}): what "
        "is said of real cases holds for these."
        for what, (makers, count) in found.items()
        if makers
    )


def made_by(cohort: Cohort) -> Counter[str]:
    """Methods that made cases of a cohort, each with their number, as the provenance of the cases says."""
    made = Counter[str]()
    for case_id in cohort.ids:
        if cohort.is_synthetic(case_id):
            provenance = read_records(cohort.root, case_id)[1] or {}
            made[str(provenance.get("method") or "an unnamed method")] += 1
    return Counter({method: count for method, count in made.items() if not method.startswith(_PHANTOM)})


def are_phantoms(cohort: Cohort) -> bool:
    """Whether every case of a cohort is a phantom, which learned from no image, as the provenance of the cases says."""
    methods = ((read_records(cohort.root, case_id)[1] or {}).get("method") for case_id in cohort.ids)
    return len(cohort) > 0 and all(str(method).startswith(_PHANTOM) for method in methods)


def _listed(makers: Counter[str]) -> str:
    return ", ".join(sorted(makers))
