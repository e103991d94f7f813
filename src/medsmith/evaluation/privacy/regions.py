"""What of each case is compared: the whole image, the lesion region, features and the label map."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from scipy.ndimage import find_objects
from scipy.ndimage import label as components

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.copies import Searchable, joined
from medsmith.data.label_agreement import centered_map
from medsmith.data.resizing import resize
from medsmith.evaluation.alike import alike_cases
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.views import View, ViewSpec
from medsmith.progress import Advance

EDGE_2D, EDGE_3D = 128, 64
"""Edges of the grid on which cases are read and shown."""
LEAST_EDGE = 8
"""Of a lesion's box in voxels along at least two axes; a smaller lesion has too few to be recognized."""
_BATCH = 32


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """A cohort prepared for comparison.

    Attributes:
        ids: of the cases with an image.
        images: whole images.
        features: extractor name -> one row per image.
        lesion_ids: of the cases with an image of a lesion of sufficient size.
        lesions: lesion regions.
        label_ids: of the cases with labels.
        maps: centered label maps.
    """

    ids: tuple[str, ...]
    images: Searchable
    features: dict[str, Float64[np.ndarray, "n d"]]
    lesion_ids: tuple[str, ...]
    lesions: Searchable
    label_ids: tuple[str, ...]
    maps: UInt8[np.ndarray, "k ex ey ez"]


def prepare_cohort(cohort: Cohort, values: Collection[int], extractors: list[Extractor], advance: Advance) -> Prepared:
    """Read every case of a cohort once.

    Args:
        cohort: all slices or all volumes.
        values: labels of the lesions.
        extractors: of the features of whole images, without labels.
        advance: called after every case.
    """
    images: list[Searchable] = []
    lesions: list[Searchable] = []
    lesion_ids, label_ids, maps = [], [], []
    rows: dict[str, list[Float64[np.ndarray, "b d"]]] = {each.name: [] for each in extractors}
    cases = alike_cases(cohort)
    for _ in range(0, len(cohort), _BATCH):
        views = []
        for case in islice(cases, _BATCH):
            if case.image is not None:
                views.append(view_of(case))
                region = lesion_region(case, values)
                if region is not None:
                    lesion_ids.append(case.id)
                    lesions.append(Searchable.of([region[None]]))
            if case.labels is not None and case.labels.any():
                label_ids.append(case.id)
                maps.append(centered_map(case.labels))
            advance(1, case.id)
        if views:
            images.append(Searchable.of(view.image[None] for view in views))
            for each in extractors:
                rows[each.name].append(each([view.without_labels for view in views]))
    none = Searchable.of(())
    return Prepared(
        cohort.ids_with_image,
        joined(images) if images else none,
        {name: np.concatenate(parts) for name, parts in rows.items() if parts},
        tuple(lesion_ids),
        joined(lesions) if lesions else none,
        tuple(label_ids),
        np.stack(maps) if maps else np.zeros((0, 1, 1, 1), np.uint8),
    )


def view_of(case: Case) -> View:
    """The first channel of a case on the common grid; its own percentiles .5 and 99.5 become 0 and 255."""
    flat = case.geometry.dimensions == 2
    edge = EDGE_2D if flat else EDGE_3D
    shape, names = (edge, edge, 1 if flat else edge), case.channel_names
    channel, name = (0, names[0]) if names else (None, "")
    spec = ViewSpec(shape, channel, name, None, in_millimeters=False, use_labels=False)
    return spec.view(case)


def lesion_region(case: Case, values: Collection[int]) -> Float32[np.ndarray, "x y z"] | None:
    """The bounding box of the largest lesion, on the common grid; None if there is none of sufficient size.

    What lies around the lesion has its mean gray value, so that the background, which an inpainted case has from a
    patient, does not enter the comparison.

    Args:
        case: with an image.
        values: labels of the lesions.
    """
    if case.labels is None:
        return None
    parts, count = components(np.isin(case.labels, list(values)))
    if not count:
        return None
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    box = find_objects(parts, largest)[largest - 1]
    inside, image = parts[box] == largest, case.require_image()[0][box]
    if sorted(inside.shape)[-2] < LEAST_EDGE:
        return None
    flat = case.geometry.dimensions == 2
    edge = EDGE_2D if flat else EDGE_3D
    filled = np.where(inside, image, image[inside].mean(dtype=np.float64)).astype(np.float32)
    region: Float32[np.ndarray, "x y z"] = resize(filled, (edge, edge, 1 if flat else edge))
    return region
