"""Distributions of pulmonary nodules; shares and ranges were chosen for this project and describe no population."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

COUNT_SHARES = (0.4, 0.36, 0.16, 0.08)
"""Share of cases with 0, 1, 2 and 3 nodules."""
DIAMETER_MM = (11.0, 0.5)
"""Diameter of the circle of equal area: median, and standard deviation of the logarithm (log-normal)."""
DIAMETER_LIMITS_MM = (4.0, 35.0)
"""Where that distribution is cut (clipped)."""
DENSITY_SHARES: Mapping[str, float] = MappingProxyType({"solid": 0.6, "part-solid": 0.2, "ground-glass": 0.2})
DENSITY_HU: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"solid": (10.0, 70.0), "part-solid": (-620.0, -420.0), "ground-glass": (-680.0, -450.0)}
)
"""Mean HU, of a part-solid nodule outside its core (uniform); a solid one takes up contrast agent in addition."""
CORE_HU = (-20.0, 50.0)
CORE_SHARE = (0.35, 0.7)
"""Density and diameter of the core of a part-solid nodule, the latter relative to the nodule."""
CONTRAST_HU = (15.0, 60.0)
"""Uptake of contrast agent by a solid nodule."""
MARGIN_MM: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"solid": (0.4, 1.2), "part-solid": (1.5, 3.5), "ground-glass": (1.5, 4.0)}
)
"""Width of the margin; at most a third of the diameter."""


@final
@dataclass(frozen=True)
class Shape:
    """A shape of nodules and its deviation from a circle; ranges are uniform.

    Attributes:
        share: of all nodules.
        ratio: long over short axis.
        waves: angular frequencies of the outline's deviation from the ellipse.
        rough: its root mean square, as a fraction of the radius.
        spicules: their number.
        reach: length of a spicule, as a fraction of the radius.
    """

    share: float
    ratio: tuple[float, float]
    waves: tuple[int, int]
    rough: tuple[float, float]
    spicules: tuple[int, int] = (0, 0)
    reach: tuple[float, float] = (0.0, 0.0)


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "round": Shape(0.4, (1.0, 1.35), (2, 4), (0.005, 0.03)),
        "lobulated": Shape(0.35, (1.0, 1.6), (3, 6), (0.06, 0.11)),
        "spiculated": Shape(0.25, (1.0, 1.4), (2, 7), (0.04, 0.09), (8, 18), (0.15, 0.5)),
    }
)
PLACE_SHARES: Mapping[str, float] = MappingProxyType({"parenchyma": 0.55, "pleura": 0.25, "vessel": 0.2})
"""Where nodules lie: surrounded by lung, touching the pleura, touching a vessel."""
