"""What is known of a synthetic case without measuring its image again: numbers of its provenance, report and labels."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medsmith.cases.case import Case

FOREGROUND = "foreground_share"
LESION_TYPES = "lesion_type"


def measures_of(case: Case) -> Mapping[str, float]:
    """Name -> number; what a case lacks has no entry.

    - ``attempt``: number of the attempt that passed the checks, from 0
    - the name of each check of its provenance, such as ``not_a_copy``: the measured value
    - ``lesions``, ``lesions_as_asked``: number, and share that is as requested in every attribute
    - ``largest_lesion_mm``, ``smallest_lesion_mm``: longest axis over the lesions of its report
    - the entries of ``adherence``, spaces as underscores
    - ``foreground_share``: share of labeled voxels; ``share.LABEL`` that of a label, spaces as underscores
    """
    record = case.provenance or {}
    return dict(
        (
            *_numbers({"attempt": record.get("attempt")}),
            *_numbers({check.get("check", ""): check.get("value") for check in record.get("checks") or []}),
            *_numbers({key.replace(" ", "_"): value for key, value in (record.get("adherence") or {}).items()}),
            *_of_lesions(record.get("lesions") or [], (case.report or {}).get("lesions") or []),
            *_of_labels(case),
        )
    )


def types_of(case: Case) -> tuple[str, ...]:
    """What a case is counted under: the types of its lesions, else the labels that it has, else nothing."""
    lesions = (case.report or {}).get("lesions") or []
    types = {str(lesion.get(LESION_TYPES) or "lesion of no named type") for lesion in lesions}
    if types:
        return tuple(sorted(types))
    present = set() if case.labels is None else set(np.unique(case.labels).tolist())
    return tuple(sorted(name for name, value in case.label_names.items() if value > 0 and value in present)) or (
        "none",
    )


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
            yield name, float(value)


def _of_lesions(made: list[Any], reported: list[Any]) -> Iterator[tuple[str, float]]:
    if made:
        yield "lesions", float(len(made))
        yield "lesions_as_asked", sum(bool(lesion.get("passed")) for lesion in made) / len(made)
    sizes = [max(lesion["size_mm"]) for lesion in reported if lesion.get("size_mm")]
    if sizes:
        yield "largest_lesion_mm", float(max(sizes))
        yield "smallest_lesion_mm", float(min(sizes))


def _of_labels(case: Case) -> Iterator[tuple[str, float]]:
    if case.labels is None:
        return
    yield FOREGROUND, float((case.labels > 0).mean())
    for name, value in case.label_names.items():
        if value > 0:
            yield f"share.{name.replace(' ', '_')}", float((case.labels == value).mean())
