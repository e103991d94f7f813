"""Which sizes and CT values contradict the words of a report, whatever the scan and the lesion type."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from medsmith.errors import RequestError
from medsmith.reports.organs import is_hollow, members_of
from medsmith.reports.schema import LesionReport

FLUID_HU: Final = (-20.0, 30.0)
"""Lowest and highest mean of fluid."""
GROUND_GLASS_HU: Final = -430.0
"""Highest mean of pure ground glass in the lung; solid nodules are denser."""
WALL_HU: Final = (12.0, 130.0)
"""Lowest mean of soft tissue in the wall of a hollow organ, and the lowest of what is hyperdense there."""
ROUND_SPHERICITY: Final = 0.9
"""Smallest sphericity of a round-like lesion."""
UNRESOLVED_MM: Final = 6.0
"""Longest edge of a lesion whose shape a CT does not show: it is punctate."""
LARGEST_PUNCTATE_MM: Final = 10.0
"""Longest edge that the rules give a punctate lesion."""
_POWER: Final = 1.6075
"""Exponent of Thomsen's formula for the surface of an ellipsoid."""
_LUNG: Final = frozenset(members_of("lung"))
_SOLID: Final = "isodense soft tissue mass"
_GROUND_GLASS: Final = "low-density ground-glass opacity"
_UNMEASURED_IN_LUNGS: Final = ("hyperdense", "mixed-density", "hypodense fluid-like", "ring enhancement")
"""Densities that are told from the surroundings, which are air in the lung."""
_CURE: Final = "leave one of them out"


def check_numbers(report: LesionReport) -> None:
    """Checks size and CT value against the words whose thresholds are absolute.

    Raises:
        RequestError: no lesion can have both; names them and the limit.
    """
    problem = next((each for each in (*_sizes(report), *_ct_values(report))), None)
    if problem is not None:
        found, limit = problem
        raise RequestError("report", found, limit, _CURE)


def check_requestable(report: LesionReport) -> None:
    """Checks that the density can be measured in the organ: a report may say more than can be asked for.

    Raises:
        RequestError: it cannot.
    """
    if report.organ in _LUNG and report.density in _UNMEASURED_IN_LUNGS:
        raise RequestError("report", f"'{report.density}' in organ '{report.organ}'", "not said of the lung", _CURE)


def ellipsoid_sphericity(edges: tuple[float, float, float]) -> float:
    """Wadell's sphericity of the ellipsoid of these edges, by Thomsen's formula (off by less than 1.1 %).

    Args:
        edges: of its bounding box, mm.
    """
    a, b, c = (edge / 2 for edge in edges)
    products = np.array([a * b, a * c, b * c]) ** _POWER
    surface = 4 * np.pi * float(products.mean()) ** (1 / _POWER)
    return float(4 * np.pi * (a * b * c) ** (2 / 3) / surface)


def _sizes(report: LesionReport) -> Iterator[tuple[str, str]]:
    if report.size_mm is None:
        return
    longest, said = max(report.size_mm), " x ".join(f"{edge:g}" for edge in report.size_mm) + " mm"
    if "punctate" in report.shape and longest > LARGEST_PUNCTATE_MM:
        yield f"'punctate' contradicts a size of {said}", f"punctate lesions have at most {LARGEST_PUNCTATE_MM:g} mm"
    hollow = report.organ is not None and is_hollow(report.organ)
    if "irregular" in report.shape and longest <= UNRESOLVED_MM and not hollow:
        limit = f"a CT shows the shape of lesions above {UNRESOLVED_MM:g} mm"
        yield f"'irregular' contradicts a size of {said}", limit
    round_ = next((word for word in ("round-like", "cystic") if word in report.shape), None)
    if round_ and longest > UNRESOLVED_MM and ellipsoid_sphericity(report.size_mm) < ROUND_SPHERICITY:
        limit = f"an ellipsoid of these edges has a sphericity of {ellipsoid_sphericity(report.size_mm):.2f}"
        yield f"'{round_}' contradicts a size of {said}", f"{limit}; {ROUND_SPHERICITY:g} is round"


def _ct_values(report: LesionReport) -> Iterator[tuple[str, str]]:
    value = report.ct_value_hu
    if value is None:
        return
    found = f"'{report.density}' contradicts a mean of {value:g} HU"
    if report.density == "hypodense fluid-like" and not FLUID_HU[0] <= value <= FLUID_HU[1]:
        yield found, f"fluid has {FLUID_HU[0]:g} to {FLUID_HU[1]:g} HU"
    if report.density == _GROUND_GLASS and value > GROUND_GLASS_HU:
        yield found, f"ground glass has at most {GROUND_GLASS_HU:g} HU"
    if report.density == _SOLID and report.organ in _LUNG and value < GROUND_GLASS_HU:
        yield found, f"solid nodules of the lung have at least {GROUND_GLASS_HU:g} HU"
    if report.organ is not None and is_hollow(report.organ):
        low, high = WALL_HU
        if report.density == "hypodense" and value >= low:
            yield found, f"hypodense lesions in walls have less than {low:g} HU"
        if report.density == "hyperdense" and value < high:
            yield found, f"hyperdense lesions in hollow organs have at least {high:g} HU"
        if report.density in ("isodense", _SOLID) and not low <= value < high:
            yield found, f"soft tissue in walls has {low:g} to {high:g} HU"
