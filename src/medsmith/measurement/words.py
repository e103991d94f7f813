"""From measures to the words of a report: one threshold per decision.

Where nothing was measured nothing is said. The thresholds were chosen on CT phantoms whose truth is known
(``benchmarks/measuring/calibrate.py``; confusion tables in docs/describe.md), except where it says so below.
"""

from dataclasses import dataclass
from typing import Final, final

from medsmith.measurement.density import DensityMeasures
from medsmith.measurement.measures import Measures
from medsmith.measurement.place import PlaceMeasures
from medsmith.reports.organs import cavity_of, is_hollow, members_of
from medsmith.reports.rules import ORGAN_SPECIFIC_OPTIONS, types_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import (
    Cavity,
    Density,
    DensityVariation,
    Feature,
    Relationship,
    Shape,
    Surface,
)

LUNG: Final = frozenset(members_of("lung"))


@final
@dataclass(frozen=True)
class Thresholds:
    """Where one word ends and the other begins.

    Attributes:
        punctate_mm: longest edge up to which a lesion is a dot.
        round_sphericity: from here on a lesion is round-like; below, irregular.
        narrowing_encircled: share of the directions around the lumen from which on a ring narrows it.
        protruding_depth: mean depth over length from which on a lesion of a wall protrudes; below, it thickens it.
        density_hu: contrast from which on a lesion is darker or brighter than its organ.
        fluid_hu: lowest and highest mean of what looks like water.
        wall_hu: lowest and highest mean of soft tissue in the wall of a hollow organ.
        mixed_hu: how far the darkest and the brightest twentieth both differ from the organ in mixed density.
        ring_hu: rim less core from which on the rim enhances.
        ground_glass_hu: mean above which a lung lesion is no pure ground glass.
        part_solid_hu: core less rim from which on a solid core lies in ground glass.
        heterogeneous_hu: noise-corrected standard deviation from which on a lesion is heterogeneous.
        ill_defined_mm: 10-90 % width from which on a margin is ill-defined.
        close_mm: gap below which an organ is adjacent.
        decreased_hu: depth of the darkest twentieth below the mean, in decreased density areas.
        increased_hu: height of the brightest twentieth above the mean, in increased density areas.
        spiculated_convexity: convexity below which a lung lesion is spiculated.
        stone_hu: mean from which on a lesion without another name is a stone, where stones are.
    """

    punctate_mm: float = 6.0
    round_sphericity: float = 0.9
    narrowing_encircled: float = 0.65
    protruding_depth: float = 0.2
    density_hu: float = 12.0
    fluid_hu: tuple[float, float] = (-20.0, 30.0)
    wall_hu: tuple[float, float] = (12.0, 130.0)
    mixed_hu: float = 10.0
    ring_hu: float = 25.0
    ground_glass_hu: float = -430.0
    part_solid_hu: float = 200.0
    heterogeneous_hu: float = 9.5
    ill_defined_mm: float = 2.3
    close_mm: float = 2.0
    decreased_hu: float = 30.0
    increased_hu: float = 38.0
    spiculated_convexity: float = 0.85
    stone_hu: float = 200.0


THRESHOLDS: Final = Thresholds()


def words_from(measures: Measures, thresholds: Thresholds = THRESHOLDS) -> LesionReport:
    """The report of one lesion: words, and the numbers that they were taken from.

    Args:
        measures: of the lesion.
        thresholds: where words begin.
    """
    density = measures.density
    kind = kind_of(measures, thresholds)
    lesion_type = _type_of(measures.place.organ, kind)
    return LesionReport(
        lesion_type=lesion_type,
        enhancement=measures.enhancement,
        organ=measures.place.organ,
        shape=_shape(measures, kind, thresholds),
        size_mm=measures.size_mm,
        density=_density(measures, thresholds),
        density_variation=None if density is None else _variation(density, thresholds),
        ct_value_hu=None if density is None else float(min(max(round(density.mean_hu, 1), -1024), 3071)),
        surface=None if density is None else _surface(density, thresholds),
        relationship=_relationship(measures.place, thresholds),
        features=_features(measures, kind, thresholds),
        cavity=_cavity(measures.place, lesion_type),
        measured=measures.numbers,
    )


_KINDS: Final = {
    "cyst": "cyst",
    "stone": "stone",
    "gallstone": "stone",
    "calculus": "stone",
    "tumour": "cancer",
    "tumor": "cancer",
    "cancer": "cancer",
    "carcinoma": "cancer",
    "hemorrhage": "hemorrhage",
    "haemorrhage": "hemorrhage",
    "bleed": "hemorrhage",
}


def kind_of(measures: Measures, thresholds: Thresholds) -> str | None:
    """What a lesion is: as its label says, else by its density; None where neither tells."""
    words = measures.label.replace("_", " ").casefold().split()
    said = [_KINDS[word] for word in words if word in _KINDS]
    if said or measures.density is None:
        return said[0] if said else None
    if measures.place.organ in ORGAN_SPECIFIC_OPTIONS["stone"] and measures.density.mean_hu >= thresholds.stone_hu:
        return "stone"
    return "cyst" if _density(measures, thresholds) == "hypodense fluid-like" else "cancer"


def _type_of(organ: str | None, kind: str | None) -> str | None:
    """The only type of this kind that the organ has; of any kind where the kind is not known."""
    found = () if organ is None else types_of(organ, kind)
    return found[0] if len(found) == 1 else None


def _shape(measures: Measures, kind: str | None, thresholds: Thresholds) -> tuple[Shape, ...]:
    place, sphericity = measures.place, measures.shape.sphericity
    solid: Shape = "round-like" if sphericity >= thresholds.round_sphericity else "irregular"
    if place.organ is not None and is_hollow(place.organ) and kind != "stone":
        return _wall_shape(place, solid, thresholds)
    if max(measures.size_mm) <= thresholds.punctate_mm:
        return ("punctate",)
    return ("round-like", "cystic") if solid == "round-like" and kind == "cyst" else (solid,)


def _wall_shape(place: PlaceMeasures, solid: Shape, thresholds: Thresholds) -> tuple[Shape, ...]:
    deep = place.depth_share is not None and place.depth_share >= thresholds.protruding_depth
    narrow = place.encircled_share is not None and place.encircled_share >= thresholds.narrowing_encircled
    if narrow:
        return ("luminal narrowing",)
    return (solid, "protrusion into the lumen") if deep else ("wall thickening",)


def _density(measures: Measures, thresholds: Thresholds) -> Density | None:
    """Density against the surroundings; lungs have words of their own, and no rim enhances without contrast agent."""
    density, organ = measures.density, measures.place.organ
    if density is None:
        return None
    if organ in LUNG:
        return _lung_density(density, thresholds)
    ring = density.rim_minus_core_hu is not None and density.rim_minus_core_hu >= thresholds.ring_hu
    if ring and measures.enhancement != "non-contrast CT":
        return "ring enhancement"
    return _against(density, organ, thresholds)


def _against(density: DensityMeasures, organ: str | None, thresholds: Thresholds) -> Density | None:
    if density.surroundings_hu is None or density.contrast_hu is None:
        return None
    if organ is not None and is_hollow(organ):
        return _in_a_wall(density, thresholds)
    below, above = density.surroundings_hu - density.low_hu, density.high_hu - density.surroundings_hu
    if min(below, above) >= thresholds.mixed_hu and _variation(density, thresholds) == "heterogeneous":
        return "mixed-density"
    if density.contrast_hu >= thresholds.density_hu:
        return "hyperdense"
    if density.contrast_hu > -thresholds.density_hu:
        return "isodense"
    return "hypodense fluid-like" if _fluid(density, thresholds) else "hypodense"


def _in_a_wall(density: DensityMeasures, thresholds: Thresholds) -> Density:
    """A label holds wall and lumen, so a lesion in it is compared with what walls measure, not with what is there."""
    low, high = thresholds.wall_hu
    if density.mean_hu >= high:
        return "hyperdense"
    if density.mean_hu >= low:
        return "isodense soft tissue mass"
    return "hypodense fluid-like" if _fluid(density, thresholds) else "hypodense"


def _fluid(density: DensityMeasures, thresholds: Thresholds) -> bool:
    low, high = thresholds.fluid_hu
    return low <= density.mean_hu <= high and _variation(density, thresholds) != "heterogeneous"


def _lung_density(density: DensityMeasures, thresholds: Thresholds) -> Density:
    rim = density.rim_minus_core_hu
    if rim is not None and -rim >= thresholds.part_solid_hu:
        return "isodense soft tissue mass with peripheral low-density ground-glass opacity"
    if density.mean_hu < thresholds.ground_glass_hu:
        return "low-density ground-glass opacity"
    return "isodense soft tissue mass"


def _variation(density: DensityMeasures, thresholds: Thresholds) -> DensityVariation | None:
    if density.heterogeneity_hu is None:
        return None
    return "heterogeneous" if density.heterogeneity_hu >= thresholds.heterogeneous_hu else "homogeneous"


def _surface(density: DensityMeasures, thresholds: Thresholds) -> Surface | None:
    """Nothing is said of a margin that cannot be seen."""
    if density.margin_width_mm is None:
        return None
    return "ill-defined margin" if density.margin_width_mm >= thresholds.ill_defined_mm else "well-defined margin"


def _relationship(place: PlaceMeasures, thresholds: Thresholds) -> Relationship | None:
    if not place.neighbours_known:
        return None
    gap = place.neighbour_distance_mm
    near = gap is not None and gap < thresholds.close_mm
    return "close relationship with adjacent organs" if near else "no close relationship with surrounding organs"


def _features(measures: Measures, kind: str | None, thresholds: Thresholds) -> tuple[Feature, ...]:
    """In the order of the template. Retained pancreatic fluid is never said: a label map does not show the duct."""
    found: list[Feature] = []
    density, dot = measures.density, max(measures.size_mm) <= thresholds.punctate_mm
    uneven = density is not None and _variation(density, thresholds) == "heterogeneous"
    if density is not None and uneven and not dot and kind != "stone":
        if density.mean_hu - density.low_hu >= thresholds.decreased_hu:
            found.append("presence of decreased density areas")
        if density.high_hu - density.mean_hu >= thresholds.increased_hu:
            found.append("presence of increased density areas")
    if measures.place.organ in LUNG and measures.shape.convexity < thresholds.spiculated_convexity:
        found.append("spiculated margins")
    if kind == "stone" and measures.place.organ in ORGAN_SPECIFIC_OPTIONS["stone"]:
        found.append("stone")
    return tuple(found)


def _cavity(place: PlaceMeasures, lesion_type: str | None) -> Cavity | None:
    if place.organ is None or place.share_outside is None:
        return None
    return cavity_of(place.organ, lesion_type, place.share_outside)
