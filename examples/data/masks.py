"""Cases of labels alone."""

from collections.abc import Mapping

import numpy as np

from medsmith import Case
from medsmith.geometry import Geometry


def mask_case(case_id: str, labels: np.ndarray, affine: np.ndarray, names: Mapping[str, int]) -> Case:
    """A case of a label map (x y z, uint8) without an image."""
    return Case(
        id=case_id,
        image=None,
        labels=labels,
        geometry=Geometry(labels.shape, affine),
        channel_names=(),
        label_names=names,
    )
