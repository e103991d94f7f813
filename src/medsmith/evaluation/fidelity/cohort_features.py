"""Features, images to search and mask measures of a cohort, computed in one pass over its cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, UInt8

from medsmith.cases.cohort import Cohort
from medsmith.data.copies import Searchable, joined
from medsmith.evaluation.fidelity.diversity import CASES, for_similarity
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.masks import measure_label
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.progress import Advance

BATCH = 32
EXAMPLES = 18


@final
@dataclass(frozen=True, eq=False)
class CohortFeatures:
    """Features and measures of a cohort.

    Attributes:
        ids: of the cases, sorted.
        with_image: ids of the cases with an image.
        with_labels: ids of the cases with labels.
        features: extractor name -> one row per case with an image.
        searchable: one image per case with an image, prepared for the search for copies.
        masks: label name -> measure -> one value per case with the label.
        examples: some views, evenly spaced over the ids.
        compared: gray values of some cases with an image, evenly spaced, for their similarity to each other.
    """

    ids: tuple[str, ...]
    with_image: tuple[str, ...]
    with_labels: tuple[str, ...]
    features: Mapping[str, Float64[np.ndarray, "n d"]]
    searchable: Searchable
    masks: Mapping[str, Mapping[str, Float64[np.ndarray, " cases"]]]
    examples: tuple[View, ...]
    compared: tuple[UInt8[np.ndarray, "x y z"], ...] = ()


def extract_features(
    cohort: Cohort, view_spec: ViewSpec, extractors: Sequence[Extractor], advance: Advance
) -> CohortFeatures:
    """Read every case of a cohort once and compute its features and mask measures.

    Args:
        cohort: real or synthetic.
        view_spec: the common grid and gray range.
        extractors: of the image features.
        advance: called after every batch of cases.
    """
    example_ids, compared_ids = _evenly_spaced(cohort.ids, EXAMPLES), _evenly_spaced(cohort.ids_with_image, CASES)
    rows: dict[str, list[Float64[np.ndarray, "b d"]]] = {extractor.name: [] for extractor in extractors}
    small, examples, compared, labels = [], [], [], _LabelRows(cohort)
    for views in _batches(cohort, view_spec):
        with_image = [view for view in views if view.has_image]
        if with_image:
            for extractor in extractors:
                inputs = with_image if view_spec.use_labels else [view.without_labels for view in with_image]
                rows[extractor.name].append(extractor(inputs))
            small.append(Searchable.of(view.image[None] for view in with_image))
            chosen = [view for view in with_image if view.id in compared_ids]
            compared += [np.rint(for_similarity(view.image)).astype(np.uint8) for view in chosen]
        for view in views:
            labels.add(view)
        examples += [view for view in views if view.id in example_ids]
        advance(len(views), "")
    features = {name: np.concatenate(parts) for name, parts in rows.items()}
    return CohortFeatures(
        ids=cohort.ids,
        with_image=cohort.ids_with_image if view_spec.channel is not None else (),
        with_labels=cohort.ids_with_labels,
        features=features,
        searchable=joined(small) if small else Searchable.of(()),
        masks=labels.columns(),
        examples=tuple(examples),
        compared=tuple(compared),
    )


def _batches(cohort: Cohort, view_spec: ViewSpec) -> Iterator[list[View]]:
    ids = cohort.ids  # sorted anew whenever they are asked for
    for start in range(0, len(ids), BATCH):
        yield [view_spec.view(cohort[case_id]) for case_id in ids[start : start + BATCH]]


def _evenly_spaced(ids: Sequence[str], count: int) -> set[str]:
    indices = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return {ids[index] for index in indices}


@final
class _LabelRows:
    """Collects the measures of every label over the cases."""

    def __init__(self, cohort: Cohort) -> None:
        self._values = {name: value for name, value in cohort.label_names.items() if value > 0}
        self._rows: dict[str, list[Mapping[str, float]]] = {name: [] for name in self._values}

    def add(self, view: View) -> None:
        for name, value in self._values.items():
            measures = measure_label(view, value)
            if measures is not None:
                self._rows[name].append(measures)

    def columns(self) -> dict[str, dict[str, Float64[np.ndarray, " cases"]]]:
        return {
            name: {measure: np.array([row[measure] for row in rows]) for measure in (rows[0] if rows else ())}
            for name, rows in self._rows.items()
        }
