"""Reports whose density, texture, margin and areas are drawn independently of each other and of type and organ.

By the rules of the types a ring enhances in about 1 % of the lesions, and a texture can be told from the organ: a
network that learns from them need not read the word. Here no attribute of the image tells another, but where two
contradict.
"""

from collections.abc import Sequence

import numpy as np

from medsmith.phantoms.space import stream
from medsmith.reports.organs import members_of
from medsmith.reports.rules import compatible
from medsmith.reports.sampling import sample_report
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import Density, DensityVariation, Enhancement, Feature, Surface

DENSITIES: tuple[Density, ...] = (
    "hypodense", "isodense", "hyperdense", "mixed-density", "ring enhancement", "hypodense fluid-like",
)  # fmt: skip
VARIATIONS: tuple[DensityVariation, ...] = ("homogeneous", "heterogeneous")
SURFACES: tuple[Surface, ...] = ("well-defined margin", "ill-defined margin")
ENHANCEMENTS: tuple[Enhancement, ...] = ("enhanced CT", "non-contrast CT")
AREAS: tuple[Feature, ...] = ("presence of decreased density areas", "presence of increased density areas")
AREAS_SHARE = 0.4
"""How often a lesion has each kind of area, where nothing contradicts it."""
CT_VALUE_HU = (-10.0, 140.0)
FLUID_HU = (-10.0, 20.0)
"""The means before the word of the density is heeded, which moves them below or above the organ."""


def varied_report(lesion_type: str, organ: str, seed: int) -> LesionReport:
    """A report of a lesion: organ, shape and size by the rules of its type, the words of the image without them.

    Lesions of the lung keep density and CT value, which would be other lesions elsewhere.

    Args:
        lesion_type: key of ``LESION_TYPES``, of a solid organ or the lung.
        organ: that has it.
        seed: of the case.
    """
    rng = stream(seed, "varied report")
    report = sample_report(lesion_type, rng, {"organ": organ})
    features = tuple(feature for feature in report.features if feature not in AREAS)
    bare = report.model_copy(update={"density_variation": None, "surface": None, "features": features})
    if organ not in members_of("lung"):
        bare = _with_density(bare, rng)
    for name, options in (("density_variation", VARIATIONS), ("surface", SURFACES)):
        bare = _with_one_of(bare, name, options, rng)
    for area in AREAS:
        more = bare.model_copy(update={"features": (area, *bare.features)})
        bare = more if rng.random() < AREAS_SHARE and compatible(more) else bare
    return bare


def _with_density(report: LesionReport, rng: np.random.Generator) -> LesionReport:
    density = str(rng.choice(DENSITIES))
    hu = FLUID_HU if density == "hypodense fluid-like" else CT_VALUE_HU
    said = report.model_copy(
        update={"enhancement": None, "density": density, "ct_value_hu": float(round(rng.uniform(*hu)))}
    )
    return _with_one_of(said, "enhancement", ENHANCEMENTS, rng)


def _with_one_of(report: LesionReport, name: str, options: Sequence[str], rng: np.random.Generator) -> LesionReport:
    """The report with one of the options that contradict nothing in it."""
    possible = [each for option in options if compatible(each := report.model_copy(update={name: option}))]
    return possible[int(rng.integers(len(possible)))]
