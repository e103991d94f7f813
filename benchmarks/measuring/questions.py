"""What is asked of the words: per attribute the true and the described answer, and the threshold between two words."""

from collections.abc import Callable
from dataclasses import dataclass

from gather import Row

from medsmith.measurement.measures import Measures
from medsmith.measurement.shape import ShapeMeasures
from medsmith.measurement.words import THRESHOLDS, words_from
from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.schema import LesionReport

LUNG = frozenset(members_of("lung"))
SHARP = ("well-defined margin", "clear serosal surface", "clear boundary with the renal parenchyma")
FEATURES = ("presence of decreased density areas", "presence of increased density areas", "spiculated margins", "stone")
NOTHING = "nothing said"


@dataclass(frozen=True)
class Question:
    """One table: which phantoms it is asked of, the true and the described answer.

    Attributes:
        name: of the table.
        asked: whether a phantom is asked.
        answer: of a report, true or described.
    """

    name: str
    asked: Callable[[LesionReport], bool]
    answer: Callable[[LesionReport], str]


def described(row: Row) -> LesionReport:
    """The report that the measures give."""
    return words_from(row.measures, THRESHOLDS)


def true_report(row: Row) -> LesionReport:
    """What was drawn."""
    return LesionReport.model_validate(row.truth)


def in_wall(report: LesionReport) -> bool:
    """Whether a lesion sits in the wall of a hollow organ."""
    return report.organ is not None and is_hollow(report.organ) and report.features != ("stone",) and not _stone(report)


def _stone(report: LesionReport) -> bool:
    return "stone" in (report.lesion_type or "")


def _lung(report: LesionReport) -> bool:
    return report.organ in LUNG


def _sphericity(measures: Measures) -> float:
    """Of a phantom, which is a volume."""
    assert isinstance(measures.shape, ShapeMeasures)
    return measures.shape.sphericity


def _solid_shape(report: LesionReport) -> str:
    """Cystic is no shape but a density: it counts as round-like."""
    shape = set(report.shape)
    if "punctate" in shape:
        return "punctate"
    return "irregular" if "irregular" in shape else "round-like" if shape else NOTHING


def _wall_shape(report: LesionReport) -> str:
    for word in ("luminal narrowing", "protrusion into the lumen", "wall thickening"):
        if word in report.shape:
            return word
    return "mass without a word for walls" if report.shape else NOTHING


def _density(report: LesionReport) -> str:
    """Two words for one density count as one."""
    word = report.density or NOTHING
    return {"hypodense fluid-like": "hypodense", "isodense soft tissue mass": "isodense"}.get(word, word)


def _margin(report: LesionReport) -> str:
    if report.surface is None:
        return NOTHING
    return "sharp" if report.surface in SHARP else "blurred"


def _feature(word: str) -> Callable[[LesionReport], str]:
    return lambda report: "said" if word in report.features else "not said"


def _always(_report: LesionReport) -> bool:
    return True


QUESTIONS = (
    Question("shape of lesions in solid organs, and of stones", lambda r: not in_wall(r), _solid_shape),
    Question("shape of lesions in walls", in_wall, _wall_shape),
    Question("density in solid organs", lambda r: not in_wall(r) and not _lung(r), _density),
    Question("density in walls", in_wall, _density),
    Question("density in lungs", _lung, lambda r: r.density or NOTHING),
    Question("density variation", _always, lambda r: r.density_variation or NOTHING),
    Question("margin in solid organs, and of stones", lambda r: not in_wall(r), _margin),
    Question("margin in walls", in_wall, _margin),
    Question(
        "place in solid organs", lambda r: r.organ is not None and not is_hollow(r.organ), lambda r: str(r.cavity)
    ),
    Question("decreased density areas", _always, _feature(FEATURES[0])),
    Question("increased density areas", _always, _feature(FEATURES[1])),
    Question("organ", _always, lambda r: str(r.organ)),
    Question("lesion type", _always, lambda r: str(r.lesion_type)),
    Question("enhancement", _always, lambda r: str(r.enhancement)),
)


@dataclass(frozen=True)
class Cut:
    """One threshold: where its number parts the phantoms.

    Attributes:
        threshold: field of ``Thresholds``.
        asked: whether a phantom tells something about it.
        above: whether the truth lies at or above it.
        number: what is compared with it; None where it was not measured.
    """

    threshold: str
    asked: Callable[[LesionReport], bool]
    above: Callable[[LesionReport], bool]
    number: Callable[[Row], float | None]


def _densities(*words: str) -> Callable[[LesionReport], bool]:
    return lambda r: not in_wall(r) and not _lung(r) and r.density in words


def _darkness(row: Row) -> float | None:
    density = row.measures.density
    return None if density is None or density.contrast_hu is None else -density.contrast_hu


def _extremes(row: Row) -> float | None:
    density = row.measures.density
    if density is None or density.surroundings_hu is None:
        return None
    return min(density.surroundings_hu - density.low_hu, density.high_hu - density.surroundings_hu)


def _uneven(report: LesionReport) -> bool:
    return report.density_variation == "heterogeneous" and not _lung(report)


CUTS = (
    Cut(
        "punctate_mm",
        lambda r: not in_wall(r) and _solid_shape(r) in ("punctate", "round-like"),
        lambda r: "punctate" not in r.shape,
        lambda row: max(row.measures.size_mm),
    ),
    Cut(
        "round_sphericity",
        lambda r: not in_wall(r) and _solid_shape(r) in ("irregular", "round-like"),
        lambda r: "round-like" in r.shape or "cystic" in r.shape,
        lambda row: _sphericity(row.measures),
    ),
    Cut(
        "narrowing_encircled",
        in_wall,
        lambda r: "luminal narrowing" in r.shape,
        lambda row: row.measures.place.encircled_share,
    ),
    Cut(
        "protruding_depth",
        lambda r: in_wall(r) and _wall_shape(r) in ("wall thickening", "protrusion into the lumen"),
        lambda r: "protrusion into the lumen" in r.shape,
        lambda row: row.measures.place.depth_share,
    ),
    Cut(
        "density_hu",
        _densities("isodense", "hypodense", "hypodense fluid-like"),
        lambda r: r.density != "isodense",
        _darkness,
    ),
    Cut("mixed_hu", lambda r: _uneven(r) and not in_wall(r), lambda r: r.density == "mixed-density", _extremes),
    Cut(
        "heterogeneous_hu",
        _always,
        lambda r: r.density_variation == "heterogeneous",
        lambda row: None if row.measures.density is None else row.measures.density.heterogeneity_hu,
    ),
    Cut(
        "ill_defined_mm",
        lambda r: not in_wall(r),
        lambda r: r.surface not in SHARP,
        lambda row: None if row.measures.density is None else row.measures.density.margin_width_mm,
    ),
    Cut(
        "decreased_hu",
        _uneven,
        lambda r: FEATURES[0] in r.features,
        lambda row: (
            None if row.measures.density is None else row.measures.density.mean_hu - row.measures.density.low_hu
        ),
    ),
    Cut(
        "increased_hu",
        _uneven,
        lambda r: FEATURES[1] in r.features,
        lambda row: (
            None if row.measures.density is None else row.measures.density.high_hu - row.measures.density.mean_hu
        ),
    ),
)
