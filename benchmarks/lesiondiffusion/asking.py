"""Which cases take part, and which lesions are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from medsmith import Cohort
from medsmith.formats.json_file import read_json
from medsmith.reports.organs import labels_of
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport, ScanReport

SHRUNK = (1.0, 0.75, 0.5)
"""Sizes of lesions that are asked for by the words of a scan's own lesion, in turn: a large one seldom fits twice."""


def chosen(cohort: Cohort, types: Sequence[str], count: int | None) -> list[str]:
    """Ids of cases with lesions of some types, the types in turn; of all where none is named."""
    if not types:
        return list(cohort.ids[:count])
    of_type: dict[str, list[str]] = {kind: [] for kind in types}
    for id in cohort.ids:
        kind = kind_of(cohort, id)
        if kind in of_type:
            of_type[kind].append(id)
    rounds = [[ids[turn] for ids in of_type.values() if turn < len(ids)] for turn in range(len(cohort))]
    return [id for each in rounds for id in each][:count]


def kind_of(cohort: Cohort, id: str) -> str:
    """The type of a case's lesion, from its report alone."""
    path = cohort.root / "reports" / f"{id}.json"
    lesions = ScanReport.model_validate(read_json(path)).lesions if path.exists() else ()
    return str(lesions[0].lesion_type or "lesion") if lesions else "lesion"


def requests_by_type(templates: Cohort, types: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Templates and types in turn, each template only with types whose organ it has."""
    fitting: dict[str, list[str]] = {kind: [] for kind in types}
    for case in templates:
        present = {name: value for name, value in case.label_names.items() if (case.require_labels() == value).any()}
        for kind in types:
            if labels_of(LESION_TYPES[kind].organ, present):
                fitting[kind].append(case.id)
    turns = range(max(len(ids) for ids in fitting.values()))
    return [(ids[turn % len(ids)], {"lesion_type": kind}) for turn in turns for kind, ids in fitting.items() if ids]


def requests_by_template(templates: Cohort) -> list[tuple[str, Mapping[str, Any]]]:
    """Every template with the words of the lesion that it had, at several sizes."""
    asked: list[tuple[str, Mapping[str, Any]]] = []
    for share in SHRUNK:
        for id in templates.ids:
            path = templates.root / "reports" / f"{id}.json"
            (own, *_) = ScanReport.model_validate(read_json(path)).lesions
            size = tuple(edge * share for edge in own.size_mm or ())
            words = {**own.model_dump(), "measured": {}, "size_mm": size}
            asked.append((id, {"lesions": (LesionReport(**words),)}))
    return asked
