"""What is known of a synthetic case without measuring its image again: numbers of its provenance, report and labels."""

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.damaged_records import refusing_damaged
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS

FOREGROUND = "foreground_share"
LESION_TYPES = "lesion_type"


def measures_of(case: Case, root: Path) -> Mapping[str, float]:
    """Name -> number; what a case lacks has no entry.

    - ``attempt``: number of the attempt that passed the checks, from 0
    - the name of each check of its provenance, such as ``not_a_copy``: the measured value
    - ``lesions``, ``lesions_as_asked``: number, and share that is as requested in every attribute
    - ``largest_lesion_mm``, ``smallest_lesion_mm``: longest axis over the lesions of its report
    - the entries of ``adherence``, spaces as underscores
    - ``foreground_share``: share of labeled voxels; ``share.LABEL`` that of a label, spaces as underscores

    Args:
        case: of a cohort.
        root: of the cohort, for errors.

    Raises:
        FileError: the provenance or the report is damaged.
    """
    with refusing_damaged(root / PROVENANCE / f"{case.id}.json"):
        recorded = tuple(_of_provenance(case.provenance or {}))
    with refusing_damaged(root / REPORTS / f"{case.id}.json"):
        reported = tuple(_of_report(case.report or {}))
    return dict((*recorded, *reported, *_of_labels(case)))


def types_of(case: Case) -> tuple[str, ...]:
    """What a case is counted under: the types of its lesions, else the labels that it has, else nothing.

    Args:
        case: whose measures were read, so that its report is not damaged.
    """
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
        if not isinstance(name, str):
            raise TypeError(f"{name!r} names no measure")
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            yield name, float(value)


def _of_provenance(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield from _numbers({"attempt": record.get("attempt")})
    yield from _numbers({check.get("check", ""): check.get("value") for check in record.get("checks") or []})
    yield from _numbers({key.replace(" ", "_"): value for key, value in (record.get("adherence") or {}).items()})
    lesions = record.get("lesions") or []
    passed = [bool(lesion.get("passed")) for lesion in lesions]
    if passed:
        yield "lesions", float(len(passed))
        yield "lesions_as_asked", sum(passed) / len(passed)


def _of_report(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    axes = [lesion.get("size_mm") for lesion in report.get("lesions") or []]
    sizes = [max(0.0, *of_one) for of_one in axes if of_one]
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
