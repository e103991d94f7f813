"""Mapping from measures to the words of a report, with one threshold per decision.

Attributes that were not measured are left out, and so are those that need millimeters where pixels have no spacing. The
thresholds were calibrated on CT phantoms with known ground truth
(``benchmarks/measuring/calibrate.py``; confusion tables in docs/describe.md).
"""

from dataclasses import dataclass
from typing import Final, final

from medsmith.measurement.density import DensityMeasures
from medsmith.measurement.measures import Measures
from medsmith.measurement.place import PlaceMeasures
from medsmith.measurement.shape import OutlineMeasures, ShapeMeasures
from medsmith.reports.lesion_label import kind_named
from medsmith.reports.organs import cavity_of, is_hollow, members_of
from medsmith.reports.possibility import FLUID_HU, GROUND_GLASS_HU, ROUND_SPHERICITY, UNRESOLVED_MM, WALL_HU
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
_OF_TWO_PARTS: Final = (
    "ring enhancement",
    "isodense soft tissue mass with peripheral low-density ground-glass opacity",
)


@final
@dataclass(frozen=True)
class Thresholds:
    """Thresholds between words.

    Attributes:
        punctate_mm: longest edge of a punctate lesion.
        round_sphericity: smallest sphericity of a round-like lesion; below it, irregular.
        round_circularity: the same in 2-D images; the square of ``round_sphericity``, since circularity is the square
            of the ratio of perimeters. Not calibrated.
        narrowing_encircled: smallest share of the directions around the lumen of a lesion that narrows it.
        protruding_depth: smallest mean depth over length of a protrusion into the lumen; below it, wall thickening.
        density_hu: smallest absolute contrast of a hypodense or hyperdense lesion.
        fluid_hu: lowest and highest mean of fluid.
        wall_hu: lowest and highest mean of soft tissue in the wall of a hollow organ.
        mixed_hu: smallest difference of both the 5th and the 95th percentile from the organ in mixed density.
        ring_hu: smallest rim minus core of ring enhancement.
        ground_glass_hu: highest mean of pure ground glass in the lung.
        part_solid_hu: smallest core minus rim of a part-solid lesion.
        heterogeneous_hu: smallest noise-corrected standard deviation of a heterogeneous lesion.
        ill_defined_mm: smallest 10-90 % width of an ill-defined margin.
        close_mm: gap below which another organ is adjacent.
        decreased_hu: smallest mean minus 5th percentile of a lesion with areas of decreased density.
        increased_hu: smallest 95th percentile minus mean of a lesion with areas of increased density.
        spicule_share: smallest share of spicules of a spiculated lung lesion.
        stone_hu: smallest mean of a stone, in organs that can have stones and without a label that names the type.
    """

    punctate_mm: float = UNRESOLVED_MM
    round_sphericity: float = ROUND_SPHERICITY
    round_circularity: float = 0.81
    narrowing_encircled: float = 0.65
    protruding_depth: float = 0.2
    density_hu: float = 12.0
    fluid_hu: tuple[float, float] = FLUID_HU
    wall_hu: tuple[float, float] = WALL_HU
    mixed_hu: float = 10.0
    ring_hu: float = 25.0
    ground_glass_hu: float = GROUND_GLASS_HU
    part_solid_hu: float = 200.0
    heterogeneous_hu: float = 9.5
    ill_defined_mm: float = 2.3
    close_mm: float = 2.0
    decreased_hu: float = 30.0
    increased_hu: float = 38.0
    spicule_share: float = 0.024
    stone_hu: float = 200.0


THRESHOLDS: Final = Thresholds()


def words_from(measures: Measures, thresholds: Thresholds = THRESHOLDS) -> LesionReport:
    """The report of one lesion: words, and the measures behind them.

    Args:
        measures: of the lesion.
        thresholds: between words.
    """
    density = measures.density
    kind = kind_of(measures, thresholds)
    lesion_type = _type_of(measures.place.organ, kind)
    return LesionReport(
        lesion_type=lesion_type,
        enhancement=measures.enhancement,
        organ=measures.place.organ,
        shape=_shape(measures, kind, thresholds),
        size_mm=measures.size_mm if measures.spacing_known else None,
        density=_density(measures, thresholds),
        density_variation=_stated_variation(measures, thresholds),
        ct_value_hu=None if density is None else float(min(max(round(density.mean_hu, 1), -1024), 3071)),
        surface=_surface(measures, thresholds),
        relationship=_relationship(measures, thresholds),
        features=_features(measures, kind, thresholds),
        cavity=_cavity(measures.place, lesion_type),
        measured=measures.numbers,
    )


def kind_of(measures: Measures, thresholds: Thresholds) -> str | None:
    """The kind of a lesion: by its label, else by its density; None if neither decides."""
    named = kind_named(measures.label)
    if named is not None or measures.density is None:
        return named
    if measures.place.organ in ORGAN_SPECIFIC_OPTIONS["stone"] and measures.density.mean_hu >= thresholds.stone_hu:
        return "stone"
    return "cyst" if _density(measures, thresholds) == "hypodense fluid-like" else "cancer"


def _type_of(organ: str | None, kind: str | None) -> str | None:
    """The lesion type, if the organ has exactly one of this kind (of any kind if None)."""
    found = () if organ is None else types_of(organ, kind)
    return found[0] if len(found) == 1 else None


def _shape(measures: Measures, kind: str | None, thresholds: Thresholds) -> tuple[Shape, ...]:
    place = measures.place
    solid: Shape = "round-like" if _is_round(measures.shape, thresholds) else "irregular"
    if place.organ is not None and is_hollow(place.organ) and kind != "stone":
        return _wall_shape(place, solid, thresholds)
    if _is_punctate(measures, thresholds):
        return ("punctate",)
    return ("round-like", "cystic") if solid == "round-like" and kind == "cyst" else (solid,)


def _is_punctate(measures: Measures, thresholds: Thresholds) -> bool:
    return measures.spacing_known and max(measures.size_mm) <= thresholds.punctate_mm


def _is_round(shape: ShapeMeasures | OutlineMeasures, thresholds: Thresholds) -> bool:
    if isinstance(shape, OutlineMeasures):
        return shape.circularity >= thresholds.round_circularity
    return shape.sphericity >= thresholds.round_sphericity


def _wall_shape(place: PlaceMeasures, solid: Shape, thresholds: Thresholds) -> tuple[Shape, ...]:
    deep = place.depth_share is not None and place.depth_share >= thresholds.protruding_depth
    narrow = place.encircled_share is not None and place.encircled_share >= thresholds.narrowing_encircled
    if narrow:
        return ("luminal narrowing",)
    return (solid, "protrusion into the lumen") if deep else ("wall thickening",)


def _density(measures: Measures, thresholds: Thresholds) -> Density | None:
    """Density against the surroundings; lungs have their own words, and ring enhancement requires contrast agent."""
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
    """Compared with typical densities of walls, since the organ label includes the lumen."""
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
    if density.mean_hu <= thresholds.ground_glass_hu:
        return "low-density ground-glass opacity"
    return "isodense soft tissue mass"


def _stated_variation(measures: Measures, thresholds: Thresholds) -> DensityVariation | None:
    """The variation; nothing where a density of two parts would contradict "homogeneous"."""
    found = None if measures.density is None else _variation(measures.density, thresholds)
    return None if found == "homogeneous" and _density(measures, thresholds) in _OF_TWO_PARTS else found


def _variation(density: DensityMeasures, thresholds: Thresholds) -> DensityVariation | None:
    if density.heterogeneity_hu is None:
        return None
    return "heterogeneous" if density.heterogeneity_hu >= thresholds.heterogeneous_hu else "homogeneous"


def _surface(measures: Measures, thresholds: Thresholds) -> Surface | None:
    """None if the margin could not be measured, or its width may be that of the voxels."""
    density = measures.density
    if density is None or density.margin_width_mm is None or not measures.spacing_known:
        return None
    if density.margin_width_mm < thresholds.ill_defined_mm:
        return "well-defined margin"
    return "ill-defined margin" if measures.margin_resolved else None


def _relationship(measures: Measures, thresholds: Thresholds) -> Relationship | None:
    place = measures.place
    if not place.neighbours_known or not measures.spacing_known:
        return None
    gap = place.neighbour_distance_mm
    near = gap is not None and gap < thresholds.close_mm
    return "close relationship with adjacent organs" if near else "no close relationship with surrounding organs"


def _features(measures: Measures, kind: str | None, thresholds: Thresholds) -> tuple[Feature, ...]:
    """Features in template order. Retained pancreatic fluid is never reported, since label maps lack the duct."""
    found: list[Feature] = []
    density, dot = measures.density, _is_punctate(measures, thresholds)
    uneven = density is not None and _variation(density, thresholds) == "heterogeneous"
    if density is not None and uneven and not dot and kind != "stone":
        if density.mean_hu - density.low_hu >= thresholds.decreased_hu:
            found.append("presence of decreased density areas")
        if density.high_hu - density.mean_hu >= thresholds.increased_hu:
            found.append("presence of increased density areas")
    if measures.place.organ in LUNG and _is_spiculated(measures, thresholds):
        found.append("spiculated margins")
    if kind == "stone" and measures.place.organ in ORGAN_SPECIFIC_OPTIONS["stone"]:
        found.append("stone")
    return tuple(found)


def _is_spiculated(measures: Measures, thresholds: Thresholds) -> bool:
    """Never said of one slice, since the threshold is of volumes, nor of a mask too coarse to hold spicules."""
    solid = isinstance(measures.shape, ShapeMeasures) and measures.spicules_resolved
    return solid and measures.spicule_share >= thresholds.spicule_share


def _cavity(place: PlaceMeasures, lesion_type: str | None) -> Cavity | None:
    if place.organ is None or place.share_outside is None:
        return None
    return cavity_of(place.organ, lesion_type, place.share_outside)
