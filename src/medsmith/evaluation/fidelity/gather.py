"""One pass over a cohort: every case is read once, measured and let go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from medsmith.cases.cohort import Cohort
from medsmith.data.similarity import thumbnails
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.masks import measure_label
from medsmith.evaluation.fidelity.views import View, Viewing
from medsmith.progress import Advance

BATCH = 32
SHOWN = 18


@final
@dataclass(frozen=True, eq=False)
class Gathered:
    """What is kept of a cohort.

    Attributes:
        ids: of the cases, sorted.
        pictured: ids of those that have an image.
        labelled: ids of those that have labels.
        features: by name of the extractor, one row per case with an image.
        thumbnails: one per case with an image.
        masks: label name -> measure -> one number per case that has the label.
        shown: some views, spread evenly over the ids.
    """

    ids: tuple[str, ...]
    pictured: tuple[str, ...]
    labelled: tuple[str, ...]
    features: Mapping[str, Float64[np.ndarray, "n d"]]
    thumbnails: Float32[np.ndarray, "n ex ey ez"]
    masks: Mapping[str, Mapping[str, Float64[np.ndarray, " cases"]]]
    shown: tuple[View, ...]


def gather(cohort: Cohort, viewing: Viewing, extractors: Sequence[Extractor], advance: Advance) -> Gathered:
    """Reads and measures every case of a cohort.

    Args:
        cohort: real or synthetic.
        viewing: the common grid and grey range.
        extractors: what is computed of the images.
        advance: told of every case read.
    """
    shown_ids = _spread(cohort.ids, SHOWN)
    rows: dict[str, list[Float64[np.ndarray, "b d"]]] = {extractor.name: [] for extractor in extractors}
    small, shown, labels = [], [], _LabelRows(cohort)
    for views in _batches(cohort, viewing):
        pictured = [view for view in views if view.has_image]
        if pictured:
            for extractor in extractors:
                seen = pictured if viewing.by_labels else [view.unlabelled for view in pictured]
                rows[extractor.name].append(extractor(seen))
            small.append(thumbnails(view.image[None] for view in pictured))
        for view in views:
            labels.add(view)
        shown += [view for view in views if view.id in shown_ids]
        advance(len(views), "")
    features = {name: np.concatenate(parts) for name, parts in rows.items()}
    return Gathered(
        ids=cohort.ids,
        pictured=cohort.ids_with_image if viewing.channel is not None else (),
        labelled=cohort.ids_with_labels,
        features=features,
        thumbnails=np.concatenate(small) if small else thumbnails(()),
        masks=labels.columns(),
        shown=tuple(shown),
    )


def _batches(cohort: Cohort, viewing: Viewing) -> Iterator[list[View]]:
    for start in range(0, len(cohort), BATCH):
        yield [viewing.view(cohort[case_id]) for case_id in cohort.ids[start : start + BATCH]]


def _spread(ids: Sequence[str], count: int) -> set[str]:
    places = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return {ids[place] for place in places}


@final
class _LabelRows:
    """Collects the measures of every label over cases."""

    def __init__(self, cohort: Cohort) -> None:
        self._values = {name: value for name, value in cohort.label_names.items() if value > 0}
        self._rows: dict[str, list[Mapping[str, float]]] = {name: [] for name in self._values}

    def add(self, view: View) -> None:
        for name, value in self._values.items():
            found = measure_label(view, value)
            if found is not None:
                self._rows[name].append(found)

    def columns(self) -> dict[str, dict[str, Float64[np.ndarray, " cases"]]]:
        return {
            name: {measure: np.array([row[measure] for row in rows]) for measure in (rows[0] if rows else ())}
            for name, rows in self._rows.items()
        }
