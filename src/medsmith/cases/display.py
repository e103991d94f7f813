"""How slices are displayed, on every page and picture: as radiologists view them.

Axes: x y the two axes of a slice in canonical orientation (see ``canonical``): of an axial slice right and front, of a
coronal one right and up, of a sagittal one front and up.

A displayed slice has its first axis to the right and its second one down. Of a slice with orientation, both run against
the patient's: axial, the patient's right is on the left and the front at the top; coronal, the right is on the left and
the head at the top; sagittal, the front is on the left and the head at the top. Pictures without orientation (PNG) are
displayed as they are.
"""

import numpy as np
from jaxtyping import Float, Shaped


def displayed(plane: Shaped[np.ndarray, "x y *rest"], oriented: bool) -> Shaped[np.ndarray, "x y *rest"]:
    """A slice, or a stack of slices along further axes, as displayed: first axis to the right, second one down.

    Args:
        plane: image or labels in canonical orientation.
        oriented: whether the orientation is known; see ``Geometry.spacing_known``.
    """
    return np.ascontiguousarray(plane[::-1, ::-1]) if oriented else plane


def displayed_place(at: Float[np.ndarray, " d"], oriented: bool) -> Float[np.ndarray, " d"]:
    """A place on the grid as one in the displayed picture, or the other way round.

    Args:
        at: fractions of the field of view along x and y, and z, which runs from the feet in both.
        oriented: whether the orientation is known.
    """
    return np.concatenate([1 - at[:2], at[2:]]) if oriented else at
