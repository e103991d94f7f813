"""The recipe that has been shown to help, where the experiment could try it and does not."""

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.evaluation.downstream.inputs import Cohorts
from medsmith.phantoms.families import FAMILIES
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.likeness import Likeness


def untried_phantoms(cohorts: Cohorts) -> tuple[str, ...]:
    """One sentence where phantoms with the labels of the real cases can be made and none are given; else nothing."""
    fitting = [name for name, family in FAMILIES.items() if _fits(family, cohorts.real)]
    if cohorts.procedural is not None or not fitting:
        return ()
    return (
        "R + procedural was not tried. There are phantoms with the labels of the real cases (of "
        f"{', '.join(fitting)}): medsmith phantom {fitting[0]} PHANTOMS --like {cohorts.real.root}, then utility "
        "--procedural PHANTOMS. On two of five real data sets phantoms gained more than copy-paste (README).",
    )


def _fits(family: PhantomFamily, cohort: Cohort) -> bool:
    """Whether phantoms of this family can stand beside the cases of a cohort."""
    if "healthy" in family.name:
        return False
    try:
        Likeness.of(family, cohort)
    except CohortError:
        return False
    return True
