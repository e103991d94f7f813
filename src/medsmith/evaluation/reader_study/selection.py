"""Which cases a study shows, and cohorts that cannot be studied together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import final

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError, RequestError, counted, similar
from medsmith.evaluation.reader_study.plan import DEFAULT_COUNT, LEAST_COUNT, REAL, SYNTHETIC, StudyPlan
from medsmith.formats.atomic import sha256_of
from medsmith.preparation.split import patient_groups

LEAST_PATIENTS = 2


@final
@dataclass(frozen=True)
class ShownCase:
    """A case that readers see.

    Attributes:
        kind: ``REAL`` or ``SYNTHETIC``.
        id: of the case in its cohort.
        patient: the group it belongs to.
    """

    kind: str
    id: str
    patient: str


@final
@dataclass(frozen=True)
class Selection:
    """The cases of a study.

    Attributes:
        study: of the trials that count.
        learning: of the learning block, with no patient of ``study``.
    """

    study: tuple[ShownCase, ...]
    learning: tuple[ShownCase, ...]


def select_cases(real: Cohort, synthetic: Cohort, plan: StudyPlan, rng: np.random.Generator) -> Selection:
    """Cases at random; a patient is shown a second time only when all have been shown once.

    Args:
        real: the real cohort.
        synthetic: the synthetic one.
        plan: how many.
        rng: draws them.

    Raises:
        CohortError: the cohorts cannot be studied together (see ``check_cohorts``), or have too few cases
            or one patient.
        RequestError: the group expression is invalid.
    """
    check_cohorts(real, synthetic, plan)
    pools = {REAL: _pool(real, REAL, plan, rng), SYNTHETIC: _pool(synthetic, SYNTHETIC, plan, rng)}
    learning = {kind: pool[: plan.learning] for kind, pool in pools.items()}
    taught = {kind: {case.patient for case in cases} for kind, cases in learning.items()}
    left = {kind: [case for case in pool if case.patient not in taught[kind]] for kind, pool in pools.items()}
    most = min(map(len, left.values()))
    wanted = {REAL: plan.count if plan.count is not None else min(DEFAULT_COUNT, max(most, LEAST_COUNT))}
    wanted[SYNTHETIC] = wanted[REAL] if plan.synthetic_count is None else plan.synthetic_count
    for kind, cohort in ((REAL, real), (SYNTHETIC, synthetic)):
        if len(left[kind]) < wanted[kind]:
            found = f"{counted(len(left[kind]), 'case')} with an image"
            found += f" besides the patients of {plan.learning} to learn from" if plan.learning else ""
            cure = f"give a larger cohort or pass --count {most}" if most >= LEAST_COUNT else "give a larger cohort"
            raise CohortError(cohort.root, found, f"{wanted[kind]} are to be shown", cure)
    shown = {kind: left[kind][: wanted[kind]] for kind in pools}
    for kind, cohort in ((REAL, real), (SYNTHETIC, synthetic)):
        _check_patients(cohort, shown[kind], plan)
    return Selection(
        tuple(case for cases in shown.values() for case in cases),
        tuple(case for cases in learning.values() for case in cases),
    )


def _check_patients(cohort: Cohort, shown: Sequence[ShownCase], plan: StudyPlan) -> None:
    if len({case.patient for case in shown}) < LEAST_PATIENTS:
        found = f"--group {plan.group!r} makes the {len(shown)} cases to show one patient, {shown[0].patient!r}"
        limit = f"at least {LEAST_PATIENTS}: the naive observer learns from some and is tested on others"
        raise CohortError(cohort.root, found, limit, "narrow the expression")


def _pool(cohort: Cohort, kind: str, plan: StudyPlan, rng: np.random.Generator) -> list[ShownCase]:
    """All cases with an image in random order, one of every patient before the second of any."""
    groups = patient_groups(cohort.ids_with_image, plan.group if kind == REAL else _optional(plan.group, cohort))
    shuffled = []
    for name in rng.permutation(sorted(groups)):
        members = rng.permutation(sorted(groups[str(name)]))
        shuffled.append([ShownCase(kind, str(member), str(name)) for member in members])
    return [case for layer in zip_longest(*shuffled) for case in layer if case is not None]


def _optional(group: str | None, cohort: Cohort) -> str | None:
    """The expression, or None where it does not fit: synthetic cases need not be named after patients."""
    try:
        patient_groups(cohort.ids_with_image, group)
    except RequestError:
        return None
    return group


def check_cohorts(real: Cohort, synthetic: Cohort, plan: StudyPlan) -> None:
    """Checks that the cohorts can be studied together.

    Raises:
        CohortError: other channels, one 2-D and the other 3-D, one oriented and the other not, or an image in both.
        RequestError: no such channel.
    """
    for cohort in (real, synthetic):
        if not cohort.ids_with_image:
            raise CohortError(cohort.root, "no case has an image", "images are needed", "give the cohort with images")
    if real.channel_names != synthetic.channel_names:
        found, limit = (f"channels {', '.join(cohort.channel_names)}" for cohort in (synthetic, real))
        raise CohortError(synthetic.root, found, f"the real cohort has {limit}", "give cohorts with the same channels")
    if plan.channel is not None and plan.channel not in real.channel_names:
        limit, cure = f"one of {', '.join(real.channel_names)}", similar(plan.channel, real.channel_names, "name one")
        raise RequestError("--channel", f"{plan.channel!r}", limit, cure)
    grids = [cohort.geometry(cohort.ids_with_image[0]) for cohort in (real, synthetic)]
    if grids[0].dimensions != grids[1].dimensions:
        found = f"{grids[1].dimensions}-D, while the real cohort is {grids[0].dimensions}-D"
        raise CohortError(synthetic.root, found, "both alike", "extract slices or give the volumes")
    if grids[0].spacing_known != grids[1].spacing_known:
        found = "one cohort stores voxel sizes and orientation and the other does not"
        raise CohortError(synthetic.root, found, "readers would see the difference", "store both in one format")
    _check_overlap(real, synthetic)


def _check_overlap(real: Cohort, synthetic: Cohort) -> None:
    def sums(cohort: Cohort, id: str) -> set[str]:
        return {sha256_of(channel.path) for channel in cohort.files(id).channels}

    of_real = set[str]().union(*(sums(real, id) for id in real.ids_with_image))
    twice = [id for id in synthetic.ids_with_image if sums(synthetic, id) & of_real]
    if twice:
        raise overlap_error(synthetic, twice)


def overlap_error(synthetic: Cohort, ids: Sequence[str]) -> CohortError:
    """The error for synthetic cases whose image is also in the real cohort."""
    found = f"the images of {len(ids)} cases are also in the real cohort: {first_of(ids)}"
    return CohortError(synthetic.root, found, "an image is real or synthetic", "give two cohorts that share none")
