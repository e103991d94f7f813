"""Cases of masks alone: the one channel, ``mask``, equals the label map, since there is no image."""

from collections.abc import Mapping

import numpy as np

from medsmith import Case
from medsmith.case import Geometry

CHANNEL = "mask"


def mask_case(case_id: str, labels: np.ndarray, affine: np.ndarray, names: Mapping[str, int]) -> Case:
    """A case whose image is its label map (x y z, uint8)."""
    return Case(
        id=case_id,
        image=labels[None].astype(np.float32),
        labels=labels,
        geometry=Geometry(labels.shape, affine),
        channel_names=(CHANNEL,),
        label_names=names,
        stored=np.dtype(np.uint8),
    )
