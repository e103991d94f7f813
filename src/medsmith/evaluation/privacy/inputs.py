"""Refuses cohorts that cannot be searched for copies, before anything heavy is loaded or read."""

from collections.abc import Mapping
from itertools import combinations

from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, RequestError, counted
from medsmith.evaluation.roles import check_roles
from medsmith.formats.folders import real_path
from medsmith.preparation.patients_apart import check_patients_apart
from medsmith.preparation.split import patient_groups

MIN_TRAINING = 4
Ids = tuple[str, ...]


def check_cohorts(named: Mapping[str, Cohort]) -> None:
    """Checks the numbers, dimensions, channels and roles of cohorts.

    Args:
        named: "synthetic", "training" and, if given, "held-out" -> the cohort.

    Raises:
        CohortError: too few cases, slices against volumes, another first channel, synthetic cases given as real
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
            raise CohortError(named[second].root, found, limit, "give other held-out cases (evaluate: other REAL ones)")
    check_roles({name: cohort for name, cohort in named.items() if name != "synthetic"}, named["synthetic"])


def check_patients(named: Mapping[str, Cohort], group: str | None) -> None:
    """Checks the expression that finds the patients of training and held-out cases.

    Args:
        named: as in ``check_cohorts``.
        group: as in ``measure_privacy``.

    Raises:
        RequestError: the expression is invalid, does not fit every id, or there are no held-out cases.
        CohortError: a patient has training and held-out cases.
    """
    if group is None:
        return
    if "held-out" not in named:
        limit = "it finds the patients of training and held-out cases, for the test of membership"
        raise RequestError("--group", "there is no held-out cohort", limit, "give --held-out")
    held_out = named["held-out"]
    check_patients_apart(held_out.root, held_out.ids, {"training": named["training"].ids}, group)


def owners_of(training: Ids, held_out: Ids, group: str | None) -> tuple[Ids, Ids] | None:
    """The patient of each training and of each held-out case; None without an expression."""
    if group is None:
        return None
    of_training, of_others = (
        {case_id: name for name, ids in patient_groups(each, group).items() for case_id in ids}
        for each in (training, held_out)
    )
    return tuple(map(of_training.__getitem__, training)), tuple(map(of_others.__getitem__, held_out))


def _check_first_channels(named: Mapping[str, Cohort]) -> None:
    """Refuses cohorts whose first channel is not that of the training cohort: first ones are searched."""
    training = named["training"]
    first = training.channel_names[:1]
    for cohort in named.values():
        if not first or not cohort.ids_with_image or first == cohort.channel_names[:1]:
            continue
        found = f"has the channels {', '.join(cohort.channel_names)}"
        limit = f"{training.root} has {', '.join(training.channel_names)}, and first channels are searched"
        elsewhere = first[0] in cohort.channel_names
        cure = "with their channels in one order" if elsewhere else "that have it, or rename one in dataset.json"
        raise CohortError(cohort.root, found, limit, f"give cohorts {cure}")


def _same(first: Cohort, second: Cohort) -> bool:
    """Whether two cohorts are one folder, or hold the same files."""
    if first.ids != second.ids:
        return False
    return real_path(first.root) == real_path(second.root) or first.content_hash() == second.content_hash()
