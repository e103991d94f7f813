"""Scenes of a cohort: cases whose images are near-duplicates, which must stay on one side of a split."""

import numpy as np

from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.similarity import find_scenes, thumbnails
from medsmith.progress import NullProgress, Progress


def scenes_of(cohort: CohortLike, *, progress: Progress | None = None) -> dict[str, int]:
    """The scene of every case (see ``similarity.find_scenes``); a case without an image is a scene of its own.

    Args:
        cohort: all slices or all volumes.
        progress: of the cases.

    Returns:
        id -> number of its scene.

    Raises:
        MedsmithError: a case cannot be read.
    """
    cohort = as_cohort(cohort)
    ids = cohort.ids_with_image
    small = []
    with (progress or NullProgress()).task("find scenes", len(ids)) as advance:
        for case_id in ids:
            small.append(thumbnails([cohort[case_id].require_image()])[0])
            advance(1, case_id)
    groups = find_scenes(np.stack(small)).groups.tolist() if small else []
    found = dict(zip(ids, groups, strict=True))
    alone = (case_id for case_id in cohort.ids if case_id not in found)
    return found | {case_id: len(ids) + number for number, case_id in enumerate(alone)}
