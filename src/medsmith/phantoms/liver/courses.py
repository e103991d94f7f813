"""Courses of the large hepatic and portal veins: control points in anatomical mm.

Hepatic veins run between the portal segments, portal branches in their middle (Couinaud).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

Control = tuple[tuple[float, float, float], ...]


@final
@dataclass(frozen=True)
class Course:
    """One large vein, from its root to its end.

    Attributes:
        above: the course whose end it continues; "" for a root.
        points: control points; those of a continuation begin after the end of the course above.
        widest: largest radius in mm.
        fixed: number of control points at its start that stay where they are, whatever is in the way.
    """

    above: str
    points: Control
    widest: float
    fixed: int = 0


HEPATIC: Mapping[str, Course] = MappingProxyType(
    {
        "right": Course("", ((27, -16, 29), (42, -18, 30), (62, -18, 25), (88, -22, 5), (102, -22, -22)), 4.8, 2),
        "middle": Course("", ((26, -14, 28), (31, 2, 25), (38, 20, 18), (46, 36, 3), (54, 46, -22)), 4.6, 2),
        "left": Course("", ((22, -12, 27), (12, 6, 22), (0, 22, 16), (-14, 36, 11), (-34, 44, 8)), 4.2, 2),
    }
)
"""Vein -> its course from the vena cava."""
PORTAL: Mapping[str, Course] = MappingProxyType(
    {
        "trunk": Course("", ((10, 4, -57), (19, 6, -46), (29, 6, -29)), 6.8, 3),
        "right": Course("trunk", ((38, 4, -22), (47, 3, -19)), 5.6, 1),
        "left": Course("trunk", ((26, 13, -20), (16, 22, -15), (6, 32, -10), (3, 43, -6)), 5.0, 1),
        "right anterior": Course("right", ((56, 14, -15), (66, 22, -10)), 4.6),
        "segment 8": Course("right anterior", ((72, 22, 4), (76, 18, 24)), 3.4),
        "segment 5": Course("right anterior", ((76, 33, -24), (82, 38, -42)), 3.4),
        "right posterior": Course("right", ((58, -8, -20), (70, -20, -20)), 4.4),
        "segment 7": Course("right posterior", ((80, -38, -6), (86, -44, 12)), 3.4),
        "segment 6": Course("right posterior", ((86, -26, -34), (93, -18, -50)), 3.4),
        "segment 2": Course("left", ((-8, 34, -4), (-24, 26, -2), (-40, 26, 0)), 3.2),
        "segment 3": Course("left", ((-8, 50, -6), (-22, 55, -6), (-38, 54, -5)), 3.2),
        "segment 4": Course("left", ((14, 50, -4), (24, 54, 4)), 3.2),
    }
)
"""Branch -> its course from the confluence with the splenic vein."""
CONTINUED_MM = 22.0
"""Distance outside the liver up to which the trunk of the portal vein is labeled."""
SECTIONS: Mapping[str, float] = MappingProxyType(
    {"caudate": -90.0, "right posterior": -5.0, "right anterior": 65.0, "left medial": 115.0, "left lateral": 180.0}
)
"""Section -> largest angle around the vena cava, from the patient's right towards the front, in degrees.

The planes between them are those of the right and middle hepatic vein, and of the fissure of the round ligament.
"""


def section_at(x: float, y: float) -> str:
    """The section of the liver at an anatomical position in mm (Brisbane terminology)."""
    angle = math.degrees(math.atan2(y + 15, x - 26))
    return next(name for name, largest in SECTIONS.items() if angle <= largest)
