"""Cohorts of real images with predicted labels, and the Dice of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from medsmith.annotation.labeler import Labeler
from medsmith.annotation.measured import Measured, mean_of_known
from medsmith.annotation.rules import LabelRules
from medsmith.cases.case_files import Layout
from medsmith.cases.cohort import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.measurement.overlap import dice
from medsmith.preparation.provenance_fields import PREDICTED_LABELS
from medsmith.preparation.recorded import recorded
from medsmith.progress import Progress
from medsmith.synthesis.damage import check_cases

RECORD = "predictions.json"
Labels = UInt8[np.ndarray, "x y z"]


def write_predictions(labeler: Labeler, rules: LabelRules, images: Cohort, out: Path, progress: Progress) -> Cohort:
    """Writes the images with predicted labels in canonical orientation; an interrupted call is continued.

    The provenance of a case says that its image is real and its labels are predicted, by which labeler and how
    confidently. ``predictions.json`` has the same for the cohort.

    Args:
        labeler: predicts.
        rules: that the labels obey.
        images: of the cases.
        out: folder of the cohort.
        progress: of the cases.

    Raises:
        CohortError: the folder holds something else.
        RunError: a case that was written earlier is damaged.
        MedsmithError: a case cannot be read or written.
    """
    facts = {
        "labels": "predicted",
        "labeler": labeler.content_hash,
        "rules": {"parts": {str(key): value for key, value in rules.parts.items()}, "holes": sorted(rules.holes)},
    }
    layout = Layout(images.channel_names, labeler.label_names, images.file_ending, {})
    with recorded(out, RECORD, {**facts, "images": images.content_hash()}, layout) as cohort:
        _label(cohort, labeler, rules, images, facts, progress)
    return cohort


def _label(
    cohort: Cohort, labeler: Labeler, rules: LabelRules, images: Cohort, facts: Mapping[str, Any], progress: Progress
) -> None:
    """Writes the cases that are missing."""
    out = cohort.root
    missing = [id for id in images.ids if id not in cohort]
    check_cases(out, cohort.ids, [out])
    with progress.task("label cases", len(images), len(images) - len(missing)) as advance:
        for id in missing:
            case = images[id]
            found = labeler.predict(case, rules)
            provenance = {"synthetic": False, "notice": PREDICTED_LABELS, **facts, "confidence": dict(found.confidence)}
            cohort.write(
                replace(
                    case,
                    labels=found.labels,
                    label_names=dict(labeler.label_names),
                    provenance=provenance,
                    report=None,
                )
            )
            advance(1, "")
    cohort.finish()


def measure(
    labeler: Labeler, rules: LabelRules, withheld: Cohort, patients: Mapping[str, str], progress: Progress
) -> Measured:
    """Dice of the cleaned predictions on withheld cases, each on its own grid.

    A label present in only one of reference and prediction scores 0; a label absent from both has no score.

    Args:
        labeler: predicts.
        rules: that its labels obey.
        withheld: annotated cases.
        patients: id -> patient.
        progress: of the cases.
    """
    names = foreground_names(labeler.label_names)
    values = [labeler.label_names[name] for name in names]
    scores: dict[str, tuple[float | None, ...]] = {}
    having: dict[str, set[str]] = {name: set() for name in names}
    with progress.task("measure", len(withheld)) as advance:
        for case in withheld:
            predicted, truth = labeler.predict(case, rules).labels, case.require_labels()
            scores[case.id] = _scores(predicted, truth, values)
            for name, value in zip(names, values, strict=True):
                if (truth == value).any():
                    having[name].add(patients[case.id])
            advance(1, "")
    counts = {name: len(found) for name, found in having.items()}
    return Measured(labels=names, patients=dict(patients), dice=scores, patients_with=counts)


def agreement(cohort: Cohort, other: Cohort) -> float:
    """Mean Dice between the labels of two cohorts of the same cases; 1 where neither has a label.

    The mean is taken over the cases where either has the label, then over labels.
    """
    values = sorted(value for value in cohort.label_names.values() if value)
    scores = [_scores(cohort[id].require_labels(), other[id].require_labels(), values) for id in cohort.ids]
    of_labels = mean_of_known(np.array(scores, np.float64), axis=0)
    known = of_labels[~np.isnan(of_labels)]
    return float(known.mean()) if len(known) else 1.0


def _scores(one: Labels, other: Labels, values: Sequence[int]) -> tuple[float | None, ...]:
    """Dice of each label value; None where neither map has it."""
    masks = [(one == value, other == value) for value in values]
    return tuple(round(dice(a, b), 6) if a.any() or b.any() else None for a, b in masks)


def mean_confidence(cohort: Cohort) -> float:
    """Mean confidence over the labels and cases of a predicted cohort."""
    found = [
        value
        for id in cohort.ids
        for value in (cohort.stored(id).provenance or {}).get("confidence", {}).values()
        if value is not None
    ]
    return float(np.mean(found)) if found else 0.0
