"""Rules that a predicted label map must obey, taken from a shape space of annotated maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import binary_fill_holes
from skimage.measure import label as components

from medsmith.anatomy import ShapeSpace

Map = UInt8[np.ndarray, "x y"]


@final
@dataclass(frozen=True)
class LabelRules:
    """How many parts each label may have, and whether it may have holes.

    Attributes:
        parts: label value -> number of outlines of it that annotated slices have at most; labels that the space does
            not hold are left as predicted.
        holes: label values that have holes in annotated slices.
    """

    parts: Mapping[int, int]
    holes: frozenset[int]

    @classmethod
    def of(cls, space: ShapeSpace) -> "LabelRules":
        """The rules of a space; context classes are no labels."""
        values = [value for value in space.label_names.values() if value]
        slots = space.record.slots
        outlines = {value: sum(slot.value == value and not slot.hole for slot in slots) for value in values}
        return cls(
            {value: count for value, count in outlines.items() if count},
            frozenset(slot.value for slot in slots if slot.hole and slot.value in values),
        )

    def clean(self, labels: Map) -> Map:
        """The map with the largest parts of each label alone, and without holes that annotated slices do not have."""
        cleaned = labels.copy()
        for value, most in self.parts.items():
            kept = _largest_parts(labels == value, most)
            cleaned[(labels == value) & ~kept] = 0
        for value in self.parts.keys() - self.holes:
            inside = binary_fill_holes(cleaned == value)
            cleaned[inside & (cleaned == 0)] = value
        return cleaned


def _largest_parts(mask: Bool[np.ndarray, "x y"], most: int) -> Bool[np.ndarray, "x y"]:
    parts = components(mask, connectivity=2)
    sizes = np.bincount(parts.ravel())[1:]
    kept = 1 + np.argsort(-sizes, kind="stable")[:most]
    return np.asarray(np.isin(parts, kept))
