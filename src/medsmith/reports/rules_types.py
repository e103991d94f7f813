"""The rows of the rule table: appearances (image attributes) and morphologies (mask attributes)."""

from dataclasses import dataclass
from typing import TypeAlias, final

from medsmith.reports.vocabulary import (
    Cavity,
    Density,
    DensityVariation,
    Enhancement,
    Feature,
    Relationship,
    Shape,
    Surface,
)

Range: TypeAlias = tuple[float, float]
"""Smallest and largest value, both included."""
FeatureSets: TypeAlias = tuple[tuple[Feature, ...], ...]
"""Features that may be named together; () stands for none."""

NOT_CLOSE: Relationship = "no close relationship with surrounding organs"
CLOSE: Relationship = "close relationship with adjacent organs"


@final
@dataclass(frozen=True)
class Appearance:
    """Compatible image attributes, with their density ranges in HU.

    Attributes:
        density: against the organ.
        variation: inside the lesion.
        non_contrast_hu: mean HU without contrast agent; None if it does not occur without contrast.
        enhanced_hu: the same with contrast agent, portal venous phase.
        features: sets of features that this appearance may have.
        weight: relative sampling probability.
    """

    density: Density
    variation: DensityVariation
    non_contrast_hu: Range | None
    enhanced_hu: Range | None
    features: FeatureSets = ((),)
    weight: float = 1.0

    def phases(self) -> tuple[tuple[Enhancement, Range], ...]:
        """Every enhancement in which the appearance is seen, with its range of HU; the enhanced one first."""
        known: tuple[tuple[Enhancement, Range | None], ...] = (
            ("enhanced CT", self.enhanced_hu),
            ("non-contrast CT", self.non_contrast_hu),
        )
        return tuple((enhancement, hu) for enhancement, hu in known if hu is not None)


@final
@dataclass(frozen=True)
class Morphology:
    """Compatible mask attributes, with their size ranges in mm.

    The first option of a list is sampled twice as often as each of the others.

    Attributes:
        shape: shape options, all stated.
        longest_mm: longest edge of the bounding box.
        min_aspect: smallest ratio of the shortest to the longest edge.
        surfaces: margins, one of which is stated.
        cavities: locations in the organ, one of which is stated.
        relationships: one of which is stated.
        features: sets of features that this morphology may have.
        longest_axis: axis that the longest edge lies along (2 is feet-head); None for any.
        weight: relative sampling probability.
    """

    shape: tuple[Shape, ...]
    longest_mm: Range
    min_aspect: float
    surfaces: tuple[Surface, ...]
    cavities: tuple[Cavity, ...]
    relationships: tuple[Relationship, ...] = (NOT_CLOSE, CLOSE)
    features: FeatureSets = ((),)
    longest_axis: int | None = None
    weight: float = 1.0


@final
@dataclass(frozen=True)
class LesionType:
    """One lesion type: any appearance combines with any morphology.

    Attributes:
        name: "kidney cyst".
        kind: its noun ("cyst", "stone", "cancer", "hemorrhage").
        organ: organ or group it occurs in.
        appearances: image attributes that go together.
        morphologies: mask attributes that go together.
    """

    name: str
    kind: str
    organ: str
    appearances: tuple[Appearance, ...]
    morphologies: tuple[Morphology, ...]
