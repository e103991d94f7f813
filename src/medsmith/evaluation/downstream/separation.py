"""What keeps test cases apart from everything that networks and generator learned from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import final

import numpy as np
from jaxtyping import Float32

from medsmith.cases.cohort import Cohort
from medsmith.data.similarity import NEAR_DUPLICATE, find_scenes, nearest, thumbnails
from medsmith.errors import CohortError, counted
from medsmith.evaluation.alike import alike_cases
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, hash_of
from medsmith.evaluation.origin import Generator
from medsmith.evaluation.roles import are_phantoms
from medsmith.preparation.patients_apart import check_patients_apart
from medsmith.preparation.split import linked_groups, patient_groups
from medsmith.progress import Progress

LEAST_TEST = 2
"""Fewest test patients that an interval can be given for."""


@final
@dataclass(frozen=True, eq=False)
class ImageKeys:
    """What tells the images of a cohort apart.

    Attributes:
        ids: of its cases.
        hashes: of their images.
        thumbnails: of them.
    """

    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    thumbnails: Float32[np.ndarray, "n ex ey ez"]

    def without(self, hashes: Collection[str]) -> "ImageKeys":
        """Those of other images."""
        rows = [row for row, found in enumerate(self.hashes) if found not in hashes]
        ids, others = (tuple(each[row] for row in rows) for each in (self.ids, self.hashes))
        return ImageKeys(ids, others, self.thumbnails[rows])

    @classmethod
    def of(cls, loaded: LoadedCohort) -> "ImageKeys":
        """The keys of a cohort that was loaded."""
        return cls(loaded.ids, loaded.hashes, loaded.thumbnails)


@final
@dataclass(frozen=True)
class Separation:
    """How real cases are grouped, and which test cases remain.

    Attributes:
        groups: ids of the real cases of each patient or scene.
        patients: patient of each test case that remains.
        left_out: test cases that show a scene of the training cases.
        like_synthetic: remaining test cases with a near-duplicate among the synthetic ones.
    """

    groups: tuple[tuple[str, ...], ...]
    patients: Mapping[str, str]
    left_out: tuple[str, ...]
    like_synthetic: int

    @property
    def notes(self) -> list[str]:
        """What is known of the test cases, in sentences."""
        left, count = len(self.left_out), len(self.patients)
        apart, patients = [], len(set(self.patients.values()))
        if left:
            told = "was left out, since it shows" if left == 1 else "were left out, since they show"
            apart.append(f"{counted(left, 'test case')} {told} a scene of the training cases (near-duplicates).")
        if patients < count:
            same = "those of one patient (--group), or near-duplicates that show one scene, count as one"
            apart.append(f"{count} test cases are {counted(patients, 'test patient')}: {same}.")
        return [*apart, f"{self.like_synthetic} of {count} test cases have a near-duplicate among the synthetic cases."]


def read_keys(cohort: Cohort, whose: str, progress: Progress) -> ImageKeys:
    """The keys of a cohort whose labels are not needed; the display of the progress says whose cases these are.

    Raises:
        CohortError: slices among volumes.
    """
    ids, hashes, small = cohort.ids_with_image, [], []
    with progress.task(f"read the {whose} cases", len(ids)) as advance:
        for case in alike_cases(cohort.subset(ids)):
            hashes.append(hash_of(case))
            small.append(thumbnails([case.require_image()])[0])
            advance(1, "")
    return ImageKeys(ids, tuple(hashes), np.stack(small) if small else thumbnails([]))


def check_generator(synthetic: Cohort, test: Cohort, learned_from: Sequence[Cohort]) -> str:
    """What is known of the cohort that the generator of the synthetic cases learned from, as a sentence.

    Args:
        synthetic: its cases.
        test: test cases.
        learned_from: cohorts of which test cases are kept apart, image by image.

    Raises:
        CohortError: it is the test cohort.
    """
    generator = Generator.of(synthetic)
    if generator is None and are_phantoms(synthetic):
        return "The synthetic cases are phantoms, which learned from no image."
    if generator is None:
        return "Which cases the generator learned from is not recorded; it must not have seen the test patients."
    learned = generator.learned
    if learned.cohort_hash == test.content_hash():
        found = f"the generator of {synthetic.root} was trained on it"
        raise CohortError(test.root, found, "test cases are new to everything", "give another cohort")
    count = counted(learned.count, "case")
    known = f"The generator learned from {count}; if R has fewer, a gain includes what the others taught it."
    if learned.cohort_hash in {cohort.content_hash() for cohort in learned_from}:
        return known
    return f"{known} These cases were not at hand: give --training to check that no test case is among them."


def check_hashes(test: ImageKeys, others: Mapping[str, ImageKeys]) -> None:
    """Refuse test images that are also among others.

    Args:
        test: of the test cases.
        others: what they are -> their keys.

    Raises:
        CohortError: an image is in both; the message names it.
    """
    for what, keys in others.items():
        ids = dict(zip(keys.hashes, keys.ids, strict=True))
        shared = [(ids[h], case_id) for h, case_id in zip(test.hashes, test.ids, strict=True) if h in ids]
        if shared:
            (ours, theirs), are = shared[0], "is" if len(shared) == 1 else "are"
            found = f"{counted(len(shared), 'test image')} {are} among the {what} ones ({theirs} is {ours})"
            raise CohortError("test cohort", found, "no image in both", "split the cohorts anew")


def check_labeled(patients: Collection[str]) -> None:
    """Refuse test cases of which too few patients have a label.

    Args:
        patients: those that have one.

    Raises:
        CohortError: they do not suffice for an interval.
    """
    if len(patients) < LEAST_TEST:
        found = f"{counted(len(patients), 'test patient')} with a labeled voxel"
        raise CohortError("test cohort", found, f"at least {LEAST_TEST}", "give a larger one")


def separated(
    real: ImageKeys,
    test: ImageKeys,
    others: Sequence[ImageKeys],
    synthetic: ImageKeys,
    group: str | None,
    scenes: str,
) -> Separation:
    """Group real cases by patient and scene, and leave out test cases that show a scene of the training cases.

    Args:
        real: training cases.
        test: test cases.
        others: further cases that networks or generator learned from.
        synthetic: to be counted only.
        group: see ``UtilityOptions``.
        scenes: see ``UtilityOptions``.

    Raises:
        RequestError: the expression of the patients does not fit the ids of all but the synthetic cases.
        CohortError: a patient is in both cohorts, or too few test patients remain.
    """
    of_real, of_test = patient_groups(real.ids, group), patient_groups(test.ids, group)
    learned_from = [case_id for keys in (real, *others) for case_id in keys.ids]
    check_patients_apart("test cohort", test.ids, {"training": learned_from}, group)
    left_out: set[str] = set()
    if scenes == "apart":
        of_known = _scenes([real, *others, test])
        of_real, of_test = linked_groups(of_real, of_known[0]), linked_groups(of_test, of_known[-1])
        seen = {scene for found in of_known[:-1] for scene in found.values()}
        left_out = {case_id for case_id, scene in of_known[-1].items() if scene in seen}
    kept = {id: patient for patient, ids in of_test.items() for id in ids if id not in left_out}
    if len(set(kept.values())) < LEAST_TEST:
        found = f"{counted(len(set(kept.values())), 'test patient')} of a scene that no training case shows"
        raise CohortError("test cohort", found, f"at least {LEAST_TEST}", "split anew, by scene (split --by-scene)")
    rows = [row for row, case_id in enumerate(test.ids) if case_id in kept]
    similar = nearest(test.thumbnails[rows], synthetic.thumbnails)[0] >= NEAR_DUPLICATE
    return Separation(tuple(map(tuple, of_real.values())), kept, tuple(sorted(left_out)), int(similar.sum()))


def _scenes(cohorts: Sequence[ImageKeys]) -> list[dict[str, int]]:
    """The scenes of each cohort, id -> number; of an image that is there twice only the first is looked at."""
    new: list[ImageKeys] = []
    for keys in cohorts:
        new.append(keys.without({found for each in new for found in each.hashes}))
    groups = iter(find_scenes(np.concatenate([keys.thumbnails for keys in new if len(keys.ids)])).groups.tolist())
    return [dict(zip(keys.ids, islice(groups, len(keys.ids)), strict=True)) for keys in new]


def only_cases(loaded: LoadedCohort, ids: Mapping[str, str] | Sequence[str]) -> LoadedCohort:
    """The cases of some ids, in the order of the cohort."""
    rows = [row for row, case_id in enumerate(loaded.ids) if case_id in ids]
    return replace(
        loaded,
        ids=tuple(loaded.ids[row] for row in rows),
        images=loaded.images[rows],
        labels=loaded.labels[rows],
        truth=tuple(loaded.truth[row] for row in rows),
        hashes=tuple(loaded.hashes[row] for row in rows),
        thumbnails=loaded.thumbnails[rows],
        spacings=tuple(loaded.spacings[row] for row in rows),
    )
