"""Cohorts of real images with predicted labels, and the Dice of predictions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.annotation.damage import check_cases
from medsmith.annotation.labeler import Labeler
from medsmith.annotation.measured import Measured
from medsmith.annotation.rules import LabelRules
from medsmith.cases.cohort import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.cases.layouts import Layout
from medsmith.measurement.overlap import dice
from medsmith.preparation.recorded import open_recorded
from medsmith.progress import Progress

RECORD = "predictions.json"
_DESCRIPTION = "Real images with predicted labels (medsmith annotate). Not for diagnosis."


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
    cohort = open_recorded(out, RECORD, {**facts, "images": images.content_hash()}, layout)
    missing = [id for id in images.ids if id not in cohort]
    check_cases(out, cohort.ids, [out])
    with progress.task("label cases", len(images), len(images) - len(missing)) as advance:
        for id in missing:
            case = images[id]
            found = labeler.predict(case, rules)
            provenance = {"synthetic": False, "notice": _DESCRIPTION, **facts, "confidence": dict(found.confidence)}
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
    return cohort


def measure(
    labeler: Labeler, rules: LabelRules, withheld: Cohort, patients: Mapping[str, str], progress: Progress
) -> Measured:
    """Dice of the cleaned predictions on withheld cases, each on its own grid.

    A label absent from both reference and prediction scores 1; a label present in only one of them scores 0.

    Args:
        labeler: predicts.
        rules: that its labels obey.
        withheld: annotated cases.
        patients: id -> patient.
        progress: of the cases.
    """
    names = foreground_names(labeler.label_names)
    scores: dict[str, tuple[float, ...]] = {}
    present = dict.fromkeys(names, 0)
    with progress.task("measure", len(withheld)) as advance:
        for case in withheld:
            predicted, truth = labeler.predict(case, rules).labels, case.require_labels()
            values = [labeler.label_names[name] for name in names]
            scores[case.id] = tuple(round(dice(predicted == value, truth == value), 6) for value in values)
            for name, value in zip(names, values, strict=True):
                present[name] += bool((truth == value).any())
            advance(1, "")
    return Measured(labels=names, patients=dict(patients), dice=scores, present=present)


def agreement(cohort: Cohort, other: Cohort) -> float:
    """Mean Dice between the labels of two cohorts of the same cases, over labels and cases."""
    values = sorted(value for value in cohort.label_names.values() if value)
    scores = []
    for id in cohort.ids:
        ours, theirs = cohort[id].require_labels(), other[id].require_labels()
        scores.append([dice(ours == value, theirs == value) for value in values])
    return float(np.mean(scores))


def mean_confidence(cohort: Cohort) -> float:
    """Mean confidence over the labels and cases of a predicted cohort."""
    found = [
        value
        for id in cohort.ids
        for value in (cohort.stored(id).provenance or {}).get("confidence", {}).values()
        if value is not None
    ]
    return float(np.mean(found)) if found else 0.0
