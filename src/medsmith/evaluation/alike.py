"""Whether cases and cohorts can be compared: as many dimensions, the same labels, a channel that all have."""

from collections.abc import Iterator, Mapping

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError


def check_alike(real: Cohort, synthetic: Cohort, training: Cohort, *, channel: str | None = None) -> None:
    """Refuses cohorts that ``evaluate`` cannot compare; one case of each is read.

    Args:
        real: the real cohort.
        synthetic: the synthetic one.
        training: the training cohort of the generator, which may be the real one.
        channel: name of the compared channel; by default the first of the real cohort.

    Raises:
        CohortError: slices against volumes, other labels, or no channel that all cohorts with images have.
    """
    for cohort in (synthetic, training):
        ours, theirs = (each[each.ids[0]].geometry.dimensions for each in (real, cohort))
        if ours != theirs:
            limit = f"{real.root} is {ours}-D, and all must be equal"
            raise CohortError(cohort.root, f"is {theirs}-D", limit, "compare slices with slices")
    labels, others = dict(real.label_names), dict(synthetic.label_names)
    if real.ids_with_labels and synthetic.ids_with_labels and labels != others:
        found, limit = f"has the labels {others}", f"{real.root} has {labels}, and both must be equal"
        raise CohortError(synthetic.root, found, limit, _cure(labels, others))
    if not real.ids_with_image or not synthetic.ids_with_image:
        return
    name = channel or real.channel_names[0]
    for cohort in (real, synthetic, training):
        if cohort.ids_with_image and name not in cohort.channel_names:
            found = f"has the channels {', '.join(cohort.channel_names)}"
            limit = f"{real.root} has {', '.join(real.channel_names)}, and '{name}' is compared"
            raise CohortError(cohort.root, found, limit, "give cohorts that have it, or rename one in dataset.json")


def alike_cases(cohort: Cohort) -> Iterator[Case]:
    """The cases of a cohort, one after the other.

    Raises:
        CohortError: a slice among volumes, or the other way round.
    """
    first: Case | None = None
    for case in cohort:
        first = first or case
        if (found := case.geometry.dimensions) != first.geometry.dimensions:
            limit = f"{first.id} is {first.geometry.dimensions}-D, and all must be equal"
            raise CohortError(f"{cohort.root}, case {case.id}", f"is {found}-D", limit, "leave out one kind")
        yield case


def _cure(real: Mapping[str, int], synthetic: Mapping[str, int]) -> str:
    """What makes the labels equal: one that only one cohort has may be declared in the other, without a voxel."""
    for cohort, more, fewer in (("real", synthetic, real), ("synthetic", real, synthetic)):
        besides = {name: value for name, value in more.items() if name not in fewer}
        if besides and fewer.items() <= more.items():
            added = ", ".join(f'"{name}": {value}' for name, value in besides.items())
            return f"add {added} to the labels in dataset.json of the {cohort} cohort"
    return "rename or renumber one of them"
