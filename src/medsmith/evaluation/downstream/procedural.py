"""The recipe that has been shown to help, where the experiment could try it and does not."""

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.evaluation.downstream.inputs import Cohorts
from medsmith.evaluation.roles import are_phantoms
from medsmith.phantoms.families import FAMILIES
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.likeness import Likeness
from medsmith.reports.organs import is_lesion


def untried_phantoms(cohorts: Cohorts) -> tuple[str, ...]:
    """One sentence where phantoms with the labels of the real cases can be made and none are given; else nothing.

    As the synthetic cases they count as given.
    """
    fitting = [name for name, family in FAMILIES.items() if _fits(family, cohorts.real)]
    if cohorts.procedural is not None or are_phantoms(cohorts.synthetic) or not fitting:
        return ()
    return (
        "R + procedural was not tried. There are phantoms with the labels of the real cases (of "
        f"{', '.join(fitting)}), which help only where they look like these: medsmith phantom {fitting[0]} PHANTOMS "
        "--like REAL, then utility --procedural PHANTOMS. On two of five real data sets such phantoms gained more than "
        "copy-paste (README).",
    )


def trained_once(cohorts: Cohorts) -> tuple[str, ...]:
    """One sentence on what no interval covers, where something learned to make the synthetic cases."""
    if are_phantoms(cohorts.synthetic):
        return ()
    return ("The generator was trained once: another training of it is not covered by any interval.",)


def _fits(family: PhantomFamily, cohort: Cohort) -> bool:
    """Whether phantoms of this family show what the cohort does: its labels, and lesions where it names them."""
    try:
        values = Likeness.of(family, cohort).values
    except CohortError:
        return False
    # A lesion without a label would be a hole in its organ.
    shown = filter(is_lesion, family.label_names) if family.lesions else ()
    named = {value for name, value in cohort.label_names.items() if is_lesion(name)}
    return {*filter(is_lesion, values)} == {*shown} and all(values[name] in named for name in filter(is_lesion, values))
