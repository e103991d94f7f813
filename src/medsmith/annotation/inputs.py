"""The cohorts of the annotation loop and their checks: what is withheld must occur nowhere else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from medsmith.annotation.measured import LEAST_PATIENTS
from medsmith.annotation.options import AnnotationOptions
from medsmith.cases.cohort import Cohort
from medsmith.cases.hounsfield import check_units
from medsmith.cases.integrity import ENDINGS_WRITTEN, check_consecutive
from medsmith.cases.label_names import foreground_names
from medsmith.cases.views import images_alone, joined
from medsmith.data.same_images import same_images
from medsmith.data.similarity import thumbnails
from medsmith.errors import CohortError, GeometryError, RequestError, RunError, counted
from medsmith.evaluation.downstream.loaded_cohort import hash_of
from medsmith.formats.folders import check_disjoint_folders
from medsmith.methods.base import Method
from medsmith.preparation.patients_apart import check_patients_apart
from medsmith.preparation.split import held_out_ids, patient_groups
from medsmith.progress import Progress


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """The cohorts of the loop.

    Attributes:
        labeled: the few slices with labels, without those that are withheld.
        unlabeled: images alone.
        withheld: labeled slices of other patients, to measure the labelers with.
        patients: case id -> patient, of the withheld cases.
    """

    labeled: Cohort
    unlabeled: Cohort
    withheld: Cohort
    patients: Mapping[str, str]

    @property
    def images(self) -> Cohort:
        """All images that may be trained on, without labels."""
        return joined({"labeled": images_alone(self.labeled), "unlabeled": self.unlabeled})

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels by their values, without the background."""
        return foreground_names(self.labeled.label_names)

    def facts(self) -> dict[str, str]:
        """Name -> content hash of each cohort; those of a share that was withheld are hashed as they are used."""
        cohorts = {"labeled": self.labeled, "unlabeled": self.unlabeled, "withheld": self.withheld}
        return {name: cohort.content_hash() for name, cohort in cohorts.items()}


def open_inputs(
    labeled: Path, unlabeled: Path, withheld: Path | None, out: Path, options: AnnotationOptions
) -> tuple[Inputs, tuple[str, ...]]:
    """Opens the cohorts and checks what can be checked without reading images.

    Returns:
        The cohorts, and one line per thing the user should know.

    Raises:
        CohortError: cohorts do not fit together, or the folders overlap.
        RequestError: ``group`` or ``withheld_share`` cannot be used, or a share is withheld without ``group``.
        MedsmithError: a cohort cannot be opened.
    """
    check_disjoint_folders([labeled, unlabeled, *([withheld] if withheld else []), out])
    source, images = Cohort.open(labeled), Cohort.open(unlabeled)
    _check_annotated(source)
    _check_images(images)
    ignored = len(images.ids_with_labels)
    notes = [f"{unlabeled}: labels of {counted(ignored, 'case')} are ignored"] if ignored else []
    if withheld is None:
        if options.group is None:
            found, limit = (
                "not given, so that neighboring slices may be on both sides",
                "a share of LABELED is withheld",
            )
            cure = "name the patient in a case id, '(.*)' if each case is one, or give --withheld"
            raise RequestError("--group", found, limit, cure)
        apart = held_out_ids(source.ids, options.withheld_share, options.seed, options.group)
        few, kept = source.subset(id for id in source.ids if id not in apart), source.subset(sorted(apart))
        notes.append(f"{labeled}: {len(apart)} of {len(source)} cases are withheld")
    else:
        few, kept = source, Cohort.open(withheld)
        _check_annotated(kept)
        _check_alike(source, kept)
    if options.group is None:
        notes.append(
            f"{kept.root}: no --group, so that each slice counts as a patient; slices of one patient make "
            "every error and interval too small, and whether a patient is in two cohorts is not checked"
        )
    groups = patient_groups(kept.ids, options.group)
    inputs = Inputs(few, images_alone(images), kept, {id: name for name, ids in groups.items() for id in ids})
    joined({"labeled": images_alone(few), "unlabeled": inputs.unlabeled})
    _check_patients(inputs, options.group)
    return inputs, tuple(notes)


def check_contents(inputs: Inputs, progress: Progress) -> None:
    """Reads every case: slices alone, no image in two cohorts, and a label that can be measured.

    Raises:
        GeometryError: a volume.
        ContentError: a CT that is not in Hounsfield units.
        CohortError: an image is in two cohorts, or no label is in the reference of two withheld patients.
        MedsmithError: a case cannot be read.
    """
    cohorts = {"withheld": inputs.withheld, "labeled": inputs.labeled, "unlabeled": inputs.unlabeled}
    seen: dict[str, tuple[str, str]] = {}
    having: dict[int, set[str]] = defaultdict(set)
    with progress.task("check cases", sum(map(len, cohorts.values()))) as advance:
        for name, cohort in cohorts.items():
            for case in map(check_units, cohort):
                if case.geometry.dimensions != 2:
                    shape = " x ".join(map(str, case.geometry.shape))
                    found = f"case {case.id} is a volume of {shape}"
                    raise GeometryError(cohort.root, found, "shape spaces are made of slices", "give single slices")
                other, case_id = seen.setdefault(hash_of(case), (name, case.id))
                if other != name:
                    found = f"{name} case {case.id} is {other} case {case_id}"
                    raise CohortError(cohort.root, found, "no image in two of the cohorts", "leave one of them out")
                if name == "withheld":
                    for value in np.unique(case.require_labels()):
                        having[int(value)].add(inputs.patients[case.id])
                advance(1, "")
    if all(len(having[value]) < LEAST_PATIENTS for value in inputs.labeled.label_names.values() if value):
        found, limit = f"no label is in {LEAST_PATIENTS} withheld patients", "a mean Dice needs one that is"
        raise CohortError(inputs.withheld.root, found, limit, "withhold more patients")


def check_apart(withheld: Cohort, others: Iterable[tuple[str, Cohort]]) -> None:
    """Checks that no withheld image is among the cases that a request names.

    Raises:
        CohortError: one is.
    """
    known = {hash_of(case): case.id for case in withheld}
    for key, cohort in others:
        for case_id in cohort.ids_with_image:
            if (same := known.get(hash_of(cohort[case_id]))) is not None:
                found = f"case {case_id} of {key} is withheld case {same}"
                raise CohortError(cohort.root, found, "withheld cases guide nothing", "name other cases")


def check_method(run: Path | str, method: Method) -> None:
    """Checks that a run is of mDDPM.

    Raises:
        RunError: it is of another method.
    """
    if method.name != "mddpm":
        raise RunError(run, f"a run of {method.name}", "an anatomy steers mddpm alone", "train --run with mddpm")


def check_run(run: Path | str, method: Method, inputs: Inputs) -> tuple[str, ...]:
    """Checks that a trained generator fits the cohorts and has not seen a withheld image.

    Returns:
        One line per thing that could not be checked.

    Raises:
        RunError: it is not mDDPM, has other channels, makes volumes, or was trained on a withheld image.
    """
    check_method(run, method)
    facts = method.fingerprint
    if facts.dimensions != 2:
        raise RunError(run, f"makes {facts.dimensions}-D images", "shape spaces are 2-D", "train it on slices")
    if tuple(facts.channel_names) != tuple(inputs.labeled.channel_names):
        theirs, ours = ", ".join(facts.channel_names), ", ".join(inputs.labeled.channel_names)
        raise RunError(run, f"has channels {theirs}", f"the cohorts have {ours}", "train it on their images")
    trained_on = method.memory.get("thumbnails")
    if trained_on is None:
        return (f"{run}: keeps no pictures of its training images; it cannot be checked that it saw no withheld case",)
    small = thumbnails([case.require_image() for case in inputs.withheld])
    same = same_images(small, trained_on.float().numpy())
    if same.any():
        first = inputs.withheld.ids[int(same.argmax())]
        found = f"was trained on {int(same.sum())} withheld images ({first})"
        raise RunError(run, found, "withheld cases are never trained on", "train it without them, or withhold others")
    return ()


def _check_annotated(cohort: Cohort) -> None:
    _check_images(cohort)
    if len(cohort.ids_with_labels) < len(cohort):
        found = f"{len(cohort) - len(cohort.ids_with_labels)} of {len(cohort)} cases have no labels"
        raise CohortError(cohort.root, found, "every case needs labels here", "leave these cases out")
    check_consecutive(cohort.root, cohort.label_names)
    if len(cohort.label_names) < 2:
        raise CohortError(cohort.root, "has no label besides the background", "at least one", "name its labels")
    if cohort.layout.label_of or cohort.file_ending not in ENDINGS_WRITTEN:
        found = f"is no cohort of {' or '.join(ENDINGS_WRITTEN)} files with the labels as declared"
        raise CohortError(cohort.root, found, cure=f"run medsmith prepare {cohort.root} OUT")


def _check_images(cohort: Cohort) -> None:
    if not len(cohort):
        raise CohortError(cohort.root, "has no cases", "at least one", "give a cohort that has some")
    if len(cohort.ids_with_image) < len(cohort):
        found = f"{len(cohort) - len(cohort.ids_with_image)} of {len(cohort)} cases have no image"
        raise CohortError(cohort.root, found, "every case needs one", "leave these cases out")


def _check_alike(labeled: Cohort, withheld: Cohort) -> None:
    for what in ("label_names", "channel_names"):
        ours, theirs = getattr(labeled, what), getattr(withheld, what)
        if ours != theirs:
            raise CohortError(withheld.root, f"{what} {theirs}", f"{labeled.root} has {ours}", "make them alike")


def _check_patients(inputs: Inputs, group: str | None) -> None:
    withheld = set(inputs.patients.values())
    if len(withheld) < LEAST_PATIENTS:
        found = f"{len(withheld)} withheld {'slice' if group is None else 'patient'}"
        raise CohortError(inputs.withheld.root, found, "a standard error needs two", "withhold more")
    others = {"labeled": inputs.labeled.ids, "unlabeled": inputs.unlabeled.ids}
    check_patients_apart(inputs.withheld.root, inputs.withheld.ids, others, group)
