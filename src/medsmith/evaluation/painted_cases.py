"""The synthetic cases whose provenance names painted boxes, for the test of seams."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.fidelity.seams import MARGIN_MM, PaintedCase, boxes_of, grown
from medsmith.reports.organs import is_lesion

LARGEST = 60


def painted_cases(synthetic: Cohort, originals: Sequence[Cohort], channel: int) -> Iterator[PaintedCase]:
    """Cases with painted boxes, at most 60, with the scan that was painted on if one of the cohorts has it.

    Args:
        synthetic: the synthetic cohort.
        originals: cohorts in which templates are looked for by their ids.
        channel: index of the compared channel.
    """
    boxes_by_id = {id: boxes_of(read_records(synthetic.root, id)[1]) for id in synthetic.ids_with_image}
    for id, boxes in [(id, boxes) for id, boxes in boxes_by_id.items() if boxes][:LARGEST]:
        case = canonical_case(synthetic[id])
        image = case.require_image()[channel]
        margin = [round(MARGIN_MM / edge) for edge in case.geometry.spacing]
        yield PaintedCase(
            image,
            _lesions(case),
            [grown(box, margin, image.shape) for box in boxes],
            _original(case, originals, channel),
            _template(case),
        )


def _lesions(case: Case) -> Bool[np.ndarray, "x y z"]:
    """Voxels of lesions, by the names of the labels, and of the last label, which insertion adds."""
    if case.labels is None:
        return np.zeros(case.geometry.shape, dtype=bool)
    values = [value for name, value in case.label_names.items() if value and is_lesion(name)]
    return np.isin(case.labels, [*values, max(case.label_names.values())])


def _template(case: Case) -> str | None:
    """Id of the scan that was painted on, where the provenance names it."""
    template = (case.provenance or {}).get("template")
    return None if template is None else str(template)


def _original(case: Case, originals: Sequence[Cohort], channel: int) -> Float32[np.ndarray, "x y z"] | None:
    """The scan that was painted on; None if no cohort has a scan of that name and shape."""
    template = _template(case)
    for cohort in originals:
        if template in cohort.ids_with_image:
            found = canonical_case(cohort[template])
            if found.geometry.shape == case.geometry.shape:
                image: Float32[np.ndarray, "x y z"] = found.require_image()[channel]
                return image
    return None
