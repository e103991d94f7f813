"""An image, its labels, or both, with their geometry.

Axes: c channels, x y z voxel axes in file order. A 2-D image has z == 1; its x runs along the columns of the
picture (to the right) and y along the rows (down), so that a PNG and a one-slice NIfTI are read alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.errors import ContentError, GeometryError
from medsmith.geometry import Geometry

Json = Mapping[str, Any]
Kind = Literal["image", "labels"]
"""Parts of a case."""


@final
@dataclass(frozen=True, eq=False)
class Case:
    """An image in physical units (HU, or gray values as stored), its labels, or both.

    Attributes:
        id: the case's name in its cohort, also its file name.
        image: c x y z, float32, in stored units (never normalized); None if there are only labels.
        labels: x y z, one integer label per voxel, 0 is background; None if there is only an image.
        geometry: the grid that image and labels share.
        channel_names: one name per channel ("CT", "ultrasound"); without an image, those of the cohort.
        label_names: label name -> value; "background" is 0.
        stored: the dtype in which the image is kept on disk.
        report: structured report of the lesions, JSON; None if there is none.
        provenance: how a synthetic case was generated, or the labels of a real one predicted, JSON; else None.

    Raises:
        ContentError: there is neither an image nor labels.
        GeometryError: arrays that do not fit the grid, or another number of channels than names.
    """

    id: str
    image: Float32[np.ndarray, "c x y z"] | None
    labels: UInt8[np.ndarray, "x y z"] | None
    geometry: Geometry
    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    stored: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    report: Json | None = None
    provenance: Json | None = None

    def __post_init__(self) -> None:
        image, labels, grid = self.image, self.labels, self.geometry.shape
        if image is None and labels is None:
            raise ContentError(self.id or "case", "neither image nor labels", "at least one", "leave the case out")
        shapes = {} if image is None else {"image": image.shape[1:]}
        shapes |= {} if labels is None else {"labels": labels.shape}
        if any(shape != grid for shape in shapes.values()):
            found = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise GeometryError(self.id, f"{found} on a grid of {grid}")
        if image is not None and image.shape[0] != len(self.channel_names):
            raise GeometryError(self.id, f"{image.shape[0]} channels, named {', '.join(self.channel_names) or 'none'}")

    def __repr__(self) -> str:
        """What the case has, without its voxels."""
        size = " x ".join(map(str, self.geometry.shape))
        image = "no image" if self.image is None else f"image: {', '.join(self.channel_names)}"
        named = ", ".join(name for name, value in self.label_names.items() if value)
        labels = "no labels" if self.labels is None else f"labels: {named}"
        return f"Case({self.id!r}, {size}; {image}; {labels}{'; synthetic' if self.synthetic else ''})"

    @property
    def synthetic(self) -> bool:
        """Whether the case is synthetic; that of a real image with predicted labels has a provenance that denies it."""
        return self.provenance is not None and self.provenance.get("synthetic") is not False

    def require_image(self) -> Float32[np.ndarray, "c x y z"]:
        """The image.

        Raises:
            ContentError: there is none.
        """
        if self.image is None:
            raise lacks_image(self.id)
        return self.image

    def require_labels(self) -> UInt8[np.ndarray, "x y z"]:
        """The labels.

        Raises:
            ContentError: there is none.
        """
        if self.labels is None:
            raise lacks_labels(self.id)
        return self.labels


def lacks_image(case_id: str) -> ContentError:
    """The error for a case without an image."""
    cure = "add it or leave the case out"
    return ContentError(f"case {case_id}", "has labels and no image", "an image is needed", cure)


def lacks_labels(case_id: str) -> ContentError:
    """The error for a case without labels."""
    cure = "add its label map or leave the case out"
    return ContentError(f"case {case_id}", "has an image and no labels", "labels are needed", cure)
