"""The synthetic cases whose provenance names painted boxes, for the test of seams."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.case_io import read_records
from medsmith.cases.cohort import Cohort
from medsmith.cases.damaged_records import refusing_damaged
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import FileError
from medsmith.evaluation.fidelity.seams import MARGIN_MM, Box, PaintedCase, boxes_of, grown
from medsmith.reports.organs import is_lesion

LARGEST = 60


def painted_cases(synthetic: Cohort, originals: Sequence[Cohort], channel: str) -> Iterator[PaintedCase]:
    """Cases with painted boxes, at most 60, whose scan that was painted on is in one of the cohorts.

    Args:
        synthetic: the synthetic cohort.
        originals: cohorts in which templates are looked for by their ids.
        channel: name of the compared channel.

    Raises:
        FileError: a provenance is damaged, or names a box outside the image.
    """
    painted = ((id, boxes) for id in synthetic.ids_with_image if (boxes := _boxes(synthetic, id)))
    for id, boxes in islice(painted, LARGEST):
        case = canonical_case(synthetic[id])
        _check_inside(boxes, case, synthetic.root)
        original = _original(case, originals, channel)
        if original is not None:
            image = _channel(case, channel)
            margin = [round(MARGIN_MM / edge) for edge in case.geometry.spacing]
            around = [grown(box, margin, image.shape) for box in boxes]
            yield PaintedCase(image, _lesions(case), around, original, _template(case))


def _boxes(synthetic: Cohort, id: str) -> Sequence[Box]:
    """The painted boxes of a case."""
    with refusing_damaged(synthetic.root / PROVENANCE / f"{id}.json"):
        return boxes_of(read_records(synthetic.root, id)[1])


def _check_inside(boxes: Sequence[Box], case: Case, root: Path) -> None:
    for low, high in boxes:
        if any(end <= 0 or start >= edge for start, end, edge in zip(low, high, case.geometry.shape, strict=True)):
            found, limit = "names a box outside the image", f"{' x '.join(map(str, case.geometry.shape))} voxels"
            raise FileError(root / PROVENANCE / f"{case.id}.json", found, limit, "restore or remove it")


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


def _original(case: Case, originals: Sequence[Cohort], channel: str) -> Float32[np.ndarray, "x y z"] | None:
    """The scan that was painted on; None if no cohort has a scan of that name and shape."""
    template = _template(case)
    for cohort in originals:
        if template in cohort.ids_with_image:
            found = canonical_case(cohort[template])
            if found.geometry.shape == case.geometry.shape and channel in found.channel_names:
                return _channel(found, channel)
    return None


def _channel(case: Case, name: str) -> Float32[np.ndarray, "x y z"]:
    image: Float32[np.ndarray, "x y z"] = case.require_image()[case.channel_names.index(name)]
    return image
