"""What a row of the rule table is made of: appearances (words of the image) and morphologies (words of the mask)."""

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
    """Words of the image that go together, with the densities they mean.

    Attributes:
        density: against the organ.
        variation: inside the lesion.
        non_contrast_hu: mean HU without contrast agent; None where this appearance is not seen then.
        enhanced_hu: the same with contrast agent, portal venous phase.
        features: sets of features that this appearance may have.
        weight: how often it is drawn, against the other appearances of the type.
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
    """Words of the mask that go together, with the sizes they mean.

    The first option of a list is drawn twice as often as each of the others.

    Attributes:
        shape: words that are all said.
        longest_mm: longest edge of the bounding box.
        min_aspect: smallest ratio of the shortest to the longest edge.
        surfaces: margins, one of which is said.
        cavities: places in the organ, one of which is said.
        relationships: one of which is said.
        features: sets of features that this morphology may have.
        longest_axis: axis that the longest edge lies along (2 is feet-head); None for any.
        weight: how often it is drawn, against the other morphologies of the type.
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
    """One type of lesion: any appearance goes with any morphology.

    Attributes:
        name: "kidney cyst".
        kind: the noun that stands for it ("cyst", "stone", "cancer", "hemorrhage").
        organ: organ or group that has it.
        appearances: image attributes that go together.
        morphologies: mask attributes that go together.
    """

    name: str
    kind: str
    organ: str
    appearances: tuple[Appearance, ...]
    morphologies: tuple[Morphology, ...]
