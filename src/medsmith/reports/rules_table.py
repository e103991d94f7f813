"""The rule table: compatible options, sizes and densities of each lesion type.

Option lists per type are not published. These are typical textbook sizes and densities, rounded and deliberately
narrow. They are not prevalence data.
"""

from typing import Final

from medsmith.reports.rules_types import NOT_CLOSE, Appearance, FeatureSets, LesionType, Morphology
from medsmith.reports.vocabulary import Cavity, Surface

_WITHIN: Cavity = "within the parenchymal organ"
_PROTRUDING: Cavity = "protruding from the parenchymal organ"
_WALL: Cavity = "wall thickening"
_LUMEN: Cavity = "within the lumen of a hollow organ"
_ANYWHERE: Final = (_WITHIN, _PROTRUDING)

_SHARP: Surface = "well-defined margin"
_BLURRED: Surface = "ill-defined margin"
_SMOOTH_SEROSA: Surface = "clear serosal surface"
_ROUGH_SEROSA: Surface = "serosal surface irregularity"
_SHARP_RENAL: Final = (_SHARP, "clear boundary with the renal parenchyma")
_ANY_RENAL: Final = (*_SHARP_RENAL, _BLURRED, "unclear boundary with the renal parenchyma")
_SEROSA: Final = (_SMOOTH_SEROSA, _ROUGH_SEROSA, _SHARP, _BLURRED)
_OF_ESOPHAGUS: Final = ("poorly defined boundary with normal esophageal tissue", _BLURRED, _SHARP)

_STONE: FeatureSets = (("stone",),)
_MAY_BE_NECROTIC: FeatureSets = ((), ("presence of decreased density areas",))
_UNEVEN: FeatureSets = (
    (),
    ("presence of decreased density areas",),
    ("presence of increased density areas",),
    ("presence of decreased density areas", "presence of increased density areas"),
)
_MAY_BE_SPICULATED: FeatureSets = ((), ("spiculated margins",))
_DUCT: FeatureSets = ((), ("retention of pancreatic fluid",))
_DUCT_OR_NECROSIS: FeatureSets = (
    *_MAY_BE_NECROTIC,
    ("retention of pancreatic fluid",),
    ("presence of decreased density areas", "retention of pancreatic fluid"),
)


def _fluid(features: FeatureSets = ((),)) -> tuple[Appearance, ...]:
    return (
        Appearance("hypodense fluid-like", "homogeneous", (-10, 20), (-10, 20), features, weight=2),
        Appearance("hypodense", "homogeneous", (-10, 20), (-10, 25), features),
    )


def _cyst_morphologies(
    longest_mm: tuple[float, float], surfaces: tuple[Surface, ...] = (_SHARP,)
) -> tuple[Morphology, ...]:
    return (
        Morphology(("round-like",), longest_mm, 0.6, surfaces, _ANYWHERE, (NOT_CLOSE,), weight=2),
        Morphology(("cystic",), longest_mm, 0.5, surfaces, _ANYWHERE, (NOT_CLOSE,)),
        Morphology(("round-like", "cystic"), longest_mm, 0.6, surfaces, _ANYWHERE, (NOT_CLOSE,)),
    )


def _wall_appearances(*extra: Appearance) -> tuple[Appearance, ...]:
    """Appearances of a tumor in the wall of a hollow organ."""
    return (
        Appearance("isodense soft tissue mass", "homogeneous", (28, 50), (45, 100), weight=2),
        Appearance("isodense soft tissue mass", "heterogeneous", (25, 50), (40, 95), _UNEVEN),
        Appearance("isodense", "homogeneous", (28, 50), (30, 95)),
        Appearance("isodense", "heterogeneous", (25, 50), (35, 90), _UNEVEN),
        *extra,
    )


def _wall_morphologies(
    longest_mm: tuple[float, float], surfaces: tuple[Surface, ...] = _SEROSA
) -> tuple[Morphology, ...]:
    return (
        Morphology(("irregular", "wall thickening"), longest_mm, 0.2, surfaces, (_WALL,), weight=2),
        Morphology(("wall thickening",), longest_mm, 0.2, surfaces, (_WALL,)),
        Morphology(("protrusion into the lumen",), longest_mm, 0.3, surfaces, (_WALL,)),
        Morphology(("irregular", "protrusion into the lumen"), longest_mm, 0.3, surfaces, (_WALL,)),
        Morphology(("round-like", "protrusion into the lumen"), longest_mm, 0.6, surfaces, (_WALL,)),
    )


def _narrowing(
    longest_mm: tuple[float, float], surfaces: tuple[Surface, ...] = _SEROSA, axis: int | None = None
) -> tuple[Morphology, ...]:
    return (
        Morphology(("luminal narrowing",), longest_mm, 0.2, surfaces, (_WALL,), longest_axis=axis),
        Morphology(("wall thickening", "luminal narrowing"), longest_mm, 0.2, surfaces, (_WALL,), longest_axis=axis),
        Morphology(
            ("irregular", "wall thickening", "luminal narrowing"),
            *(longest_mm, 0.2, surfaces, (_WALL,)),
            longest_axis=axis,
        ),
    )


_STONES: Final = (
    LesionType(
        "gallstone",
        "stone",
        "gallbladder",
        (Appearance("hyperdense", "homogeneous", (130, 900), (130, 900), _STONE),),
        (
            Morphology(("punctate",), (3, 10), 0.5, (_SHARP,), (_LUMEN,), (NOT_CLOSE,)),
            Morphology(("round-like",), (6, 30), 0.6, (_SHARP,), (_LUMEN,), (NOT_CLOSE,)),
        ),
    ),
    LesionType(
        "kidney stone",
        "stone",
        "kidney",
        (Appearance("hyperdense", "homogeneous", (250, 1500), (250, 1500), _STONE),),
        (
            Morphology(("punctate",), (2, 10), 0.5, _SHARP_RENAL, (_WITHIN,), (NOT_CLOSE,), weight=2),
            Morphology(("round-like",), (6, 25), 0.6, _SHARP_RENAL, (_WITHIN,), (NOT_CLOSE,)),
            Morphology(("irregular",), (15, 45), 0.3, _SHARP_RENAL, (_WITHIN,), (NOT_CLOSE,), weight=0.5),
        ),
    ),
)

_CYSTS: Final = (
    LesionType("liver cyst", "cyst", "liver", _fluid(), _cyst_morphologies((5, 90))),
    LesionType("pancreas cyst", "cyst", "pancreas", _fluid(_DUCT), _cyst_morphologies((5, 60))),
    LesionType(
        "kidney cyst",
        "cyst",
        "kidney",
        (*_fluid(), Appearance("hyperdense", "homogeneous", (50, 90), None, weight=0.5)),
        _cyst_morphologies((5, 90), _SHARP_RENAL),
    ),
)

_OF_HOLLOW_ORGANS: Final = (
    LesionType(
        "esophageal cancer",
        "cancer",
        "esophagus",
        _wall_appearances(),
        (
            Morphology(("wall thickening",), (20, 90), 0.2, _OF_ESOPHAGUS, (_WALL,), longest_axis=2),
            Morphology(
                ("irregular", "wall thickening"), (20, 90), 0.2, _OF_ESOPHAGUS, (_WALL,), longest_axis=2, weight=2
            ),
            Morphology(("protrusion into the lumen",), (10, 50), 0.3, _OF_ESOPHAGUS, (_WALL,)),
            *_narrowing((20, 90), _OF_ESOPHAGUS, axis=2),
        ),
    ),
    LesionType(
        "gallbladder cancer",
        "cancer",
        "gallbladder",
        _wall_appearances(
            Appearance("isodense soft tissue mass", "homogeneous", (28, 50), (45, 100), _STONE, weight=0.5),
        ),
        (*_wall_morphologies((10, 70)), Morphology(("irregular",), (15, 90), 0.3, _SEROSA, (_WALL,))),
    ),
    LesionType(
        "stomach cancer",
        "cancer",
        "stomach",
        _wall_appearances(Appearance("mixed-density", "heterogeneous", (20, 50), (35, 90), _UNEVEN, weight=0.5)),
        (*_wall_morphologies((15, 110)), *_narrowing((20, 110))),
    ),
    LesionType(
        "colon cancer",
        "cancer",
        "colon",
        _wall_appearances(Appearance("mixed-density", "heterogeneous", (20, 50), (35, 90), _UNEVEN, weight=0.5)),
        (*_wall_morphologies((15, 90)), *_narrowing((20, 90))),
    ),
    LesionType("bladder cancer", "cancer", "urinary_bladder", _wall_appearances(), _wall_morphologies((8, 70))),
)

_OF_PARENCHYMA: Final = (
    LesionType(
        "lung cancer",
        "cancer",
        "lung",
        (
            Appearance("isodense soft tissue mass", "homogeneous", (10, 50), (30, 100), weight=2),
            Appearance("isodense soft tissue mass", "heterogeneous", (0, 50), (20, 90), _UNEVEN),
            Appearance(
                "isodense soft tissue mass with peripheral low-density ground-glass opacity",
                "heterogeneous",
                (-450, -50),
                (-420, -20),
            ),
            Appearance("low-density ground-glass opacity", "homogeneous", (-780, -450), (-760, -430)),
        ),
        (
            Morphology(("round-like",), (6, 40), 0.6, (_SHARP, _BLURRED), _ANYWHERE, features=_MAY_BE_SPICULATED),
            Morphology(("irregular",), (8, 90), 0.3, (_BLURRED, _SHARP), _ANYWHERE, features=_MAY_BE_SPICULATED),
            Morphology(("punctate",), (4, 10), 0.5, (_SHARP, _BLURRED), (_WITHIN,), (NOT_CLOSE,), weight=0.5),
        ),
    ),
    LesionType(
        "liver cancer",
        "cancer",
        "liver",
        (
            Appearance("hypodense", "homogeneous", (25, 48), (40, 88)),
            Appearance("hypodense", "heterogeneous", (25, 48), (35, 88), _UNEVEN, weight=2),
            Appearance("mixed-density", "heterogeneous", (25, 60), (45, 110), _UNEVEN),
            Appearance("isodense", "homogeneous", (48, 65), (88, 115), weight=0.5),
            Appearance("isodense", "heterogeneous", (48, 65), (88, 115), _MAY_BE_NECROTIC, weight=0.5),
            Appearance("hyperdense", "homogeneous", None, (115, 170), weight=0.5),
            Appearance("hyperdense", "heterogeneous", None, (115, 170), _UNEVEN, weight=0.5),
            Appearance("ring enhancement", "heterogeneous", None, (40, 95), _MAY_BE_NECROTIC),
        ),
        (
            Morphology(("round-like",), (8, 90), 0.6, (_SHARP, _BLURRED), _ANYWHERE),
            Morphology(("irregular",), (12, 160), 0.3, (_BLURRED, _SHARP), _ANYWHERE),
        ),
    ),
    LesionType(
        "pancreas cancer",
        "cancer",
        "pancreas",
        (
            Appearance("hypodense", "homogeneous", (20, 38), (35, 78), _DUCT),
            Appearance("hypodense", "heterogeneous", (20, 38), (30, 78), _DUCT_OR_NECROSIS, weight=2),
            Appearance("mixed-density", "heterogeneous", (20, 45), (35, 95), _DUCT_OR_NECROSIS),
            Appearance("isodense", "homogeneous", (34, 50), (78, 105), _DUCT, weight=0.5),
        ),
        (
            Morphology(("round-like",), (8, 60), 0.6, (_BLURRED, _SHARP), _ANYWHERE),
            Morphology(("irregular",), (12, 90), 0.3, (_BLURRED, _SHARP), _ANYWHERE, weight=2),
        ),
    ),
    LesionType(
        "kidney cancer",
        "cancer",
        "kidney",
        (
            Appearance("hypodense", "homogeneous", (15, 28), (40, 130)),
            Appearance("hypodense", "heterogeneous", (10, 28), (30, 130), _UNEVEN),
            Appearance("mixed-density", "heterogeneous", (15, 50), (40, 150), _UNEVEN, weight=2),
            Appearance("isodense", "homogeneous", (26, 42), None, weight=0.5),
            Appearance("isodense", "heterogeneous", (26, 42), (130, 190), _UNEVEN, weight=0.5),
            Appearance("hyperdense", "homogeneous", (42, 75), None, weight=0.5),
        ),
        (
            Morphology(("round-like",), (8, 90), 0.6, _ANY_RENAL, _ANYWHERE),
            Morphology(("irregular",), (15, 150), 0.3, _ANY_RENAL, _ANYWHERE),
        ),
    ),
    LesionType(
        "intracranial hemorrhage",
        "hemorrhage",
        "brain",
        (
            Appearance("hyperdense", "homogeneous", (52, 90), None, weight=2),
            Appearance("hyperdense", "heterogeneous", (48, 85), None, _MAY_BE_NECROTIC),
            Appearance("mixed-density", "heterogeneous", (38, 70), None, _UNEVEN),
        ),
        (
            Morphology(("round-like",), (6, 60), 0.6, (_SHARP, _BLURRED), (_WITHIN,), (NOT_CLOSE,)),
            Morphology(("irregular",), (8, 100), 0.3, (_BLURRED, _SHARP), (_WITHIN,), (NOT_CLOSE,)),
        ),
    ),
)

ROWS: Final = (*_STONES, *_CYSTS, *_OF_HOLLOW_ORGANS, *_OF_PARENCHYMA)
"""The fourteen types of the paper and, last, the type it generalizes to."""
