"""Refuses cohorts that cannot be searched for copies, before anything heavy is loaded or read."""

from collections.abc import Mapping
from itertools import combinations

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, counted
from medsmith.evaluation.roles import check_roles
from medsmith.formats.folders import real_path

MIN_TRAINING = 4


def check_cohorts(named: Mapping[str, Cohort]) -> None:
    """Checks the numbers, dimensions, channels and roles of cohorts.

    Args:
        named: "synthetic", "training" and, if given, "held-out" -> the cohort.

    Raises:
        CohortError: too few cases, slices against volumes, channels in another order, synthetic cases given as real
            ones beside real ones given as synthetic, or the held-out cohort is one of the others.
    """
    dimensions: dict[str, int] = {}
    for name, cohort in named.items():
        least = MIN_TRAINING if name == "training" else 1
        if len(cohort) < least:
            raise CohortError(cohort.root, counted(len(cohort), "case"), f"at least {least}", "give a larger cohort")
        dimensions[name] = cohort[cohort.ids[0]].geometry.dimensions
        if dimensions[name] != dimensions["synthetic"]:
            found = f"the synthetic cohort is {dimensions['synthetic']}-D and the {name} one {dimensions[name]}-D"
            raise CohortError(cohort.root, found, "all must be equal", "compare slices with slices")
    _check_first_channels(named)
    for first, second in combinations(named, 2):
        if second == "held-out" and _same(named[first], named[second]):
            found = f"is given as the {first} cohort and as the held-out one"
            limit = "held-out cases are real ones that the generator has not learned from"
            raise CohortError(named[second].root, found, limit, "give another --held-out, or none")
    check_roles({name: cohort for name, cohort in named.items() if name != "synthetic"}, named["synthetic"])


def _check_first_channels(named: Mapping[str, Cohort]) -> None:
    """Refuses cohorts that have the first channel of the training cohort in another place: first ones are searched."""
    training = named["training"]
    first = training.channel_names[:1]
    for cohort in named.values():
        if first and first != cohort.channel_names[:1] and first[0] in cohort.channel_names:
            found = f"has the channels {', '.join(cohort.channel_names)}"
            limit = f"{training.root} has {', '.join(training.channel_names)}, and first channels are searched"
            raise CohortError(cohort.root, found, limit, "give cohorts with their channels in one order")


def _same(first: Cohort, second: Cohort) -> bool:
    """Whether two cohorts are one folder, or hold the same files."""
    if first.ids != second.ids:
        return False
    return real_path(first.root) == real_path(second.root) or first.content_hash() == second.content_hash()
