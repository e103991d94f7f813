"""Oriented slices as pictures, for methods that were trained on pictures."""

from dataclasses import replace

import numpy as np

from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.display import displayed
from medsmith.errors import GeometryError
from medsmith.geometry import Geometry


def as_picture(case: Case) -> Case:
    """A slice as radiologists view it: the patient's right on the left and the front at the top, without spacing.

    Args:
        case: a slice in any orientation; a picture stays as it is.

    Raises:
        GeometryError: a volume.
    """
    if not case.geometry.spacing_known:
        return case
    case = canonical_case(case)
    if case.geometry.shape[2] != 1:
        shape = " x ".join(map(str, case.geometry.shape))
        raise GeometryError(f"case {case.id}", f"a volume of {shape}", "pictures are made of axial slices")
    image = None if case.image is None else np.stack([displayed(channel, oriented=True) for channel in case.image])
    labels = None if case.labels is None else displayed(case.labels, oriented=True)
    return replace(case, image=image, labels=labels, geometry=Geometry.plain(case.geometry.shape))
