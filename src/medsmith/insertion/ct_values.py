"""The range of a lesion's mean density: as its report gives it, else as the rules give it, seen against its organ.

Axes: x y z voxels of the scan, u v w of a region of it, canonical.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from medsmith.errors import RequestError
from medsmith.measurement.density import border_mm, zones_of
from medsmith.measurement.words import LUNG, THRESHOLDS
from medsmith.reports.organs import is_hollow, labels_of
from medsmith.reports.schema import LesionReport
from medsmith.reports.typical import ct_values_elsewhere, typical_ct_values
from medsmith.reports.wording import organ_words

INSIDE_HU: Final = 10.0
"""How far inside a range a mean is moved, so that the measurement does not fall on its end."""
_ISODENSE_HU: Final = 5.0
"""Largest distance of an isodense lesion's mean from its organ."""
_APART: Final = ("hypodense", "hypodense fluid-like", "hyperdense")
_ANY: Final = (-1024.0, 3071.0)
Range = tuple[float, float]


def organ_level(
    before: Float32[np.ndarray, "u v w"],
    mask: Bool[np.ndarray, "u v w"],
    organ: Bool[np.ndarray, "u v w"],
    spacing: tuple[float, float, float],
) -> float | None:
    """The median of the organ around the lesion, as the measurement takes it; None if no voxel is around it.

    Args:
        before: the scan without the lesion, HU.
        mask: voxels of the lesion; not empty.
        organ: voxels of its organ.
        spacing: edges of a voxel, mm.
    """
    shell = zones_of(mask, organ & ~mask, spacing, border_mm(spacing)).shell
    return float(np.median(before[shell])) if shell.any() else None


def fitted_ct_value(
    report: LesionReport,
    image: Float32[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    names: Mapping[str, int],
) -> LesionReport:
    """A report whose CT value was sampled from the rules, with a value that its density has in the organ of this scan.

    The rules know no scan: what they call hypodense may be as dense as the organ of this one.

    Args:
        report: of the lesion; returned as it is if it has no CT value or the scan lacks its organ.
        image: the scan, HU.
        labels: organs of the scan.
        names: organ -> value.
    """
    level = _median_of_organ(report, image, labels, names)
    if report.ct_value_hu is None or level is None:
        return report
    wanted = wanted_ct_values(report.model_copy(update={"ct_value_hu": None}), level)
    value = report.ct_value_hu if wanted is None else float(np.clip(report.ct_value_hu, *wanted).round())
    return report.model_copy(update={"ct_value_hu": value})


def check_ct_value(
    report: LesionReport,
    image: Float32[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    names: Mapping[str, int],
) -> None:
    """Checks a requested CT value against the requested density, which is set against the organ of the scan.

    Args:
        report: of the lesion; all is possible without a CT value, an organ of the scan, or a word set against it.
        image: the scan, HU.
        labels: organs of the scan.
        names: organ -> value.

    Raises:
        RequestError: the value has another density in this organ; names both, the organ's value and the limit.
    """
    value, level = report.ct_value_hu, _median_of_organ(report, image, labels, names)
    if value is None or level is None or _is_absolute(report):
        return
    apart, contrast = THRESHOLDS.density_hu, value - level
    match report.density:
        case "hypodense" | "hypodense fluid-like":
            fits, limit = contrast <= -apart, f"at most {level - apart:.0f} HU"
        case "hyperdense":
            fits, limit = contrast >= apart, f"at least {level + apart:.0f} HU"
        case "isodense":
            fits, limit = abs(contrast) < apart, f"{level - apart:.0f} to {level + apart:.0f} HU"
        case _:
            return
    if not fits:
        found = f"'{report.density}' contradicts a mean of {value:g} HU"
        limit = f"the {organ_words(str(report.organ))} of this scan has {level:.0f} HU, so that it is {limit}"
        raise RequestError("report", found, limit, "leave one of them out, or name another template")


def _median_of_organ(
    report: LesionReport,
    image: Float32[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    names: Mapping[str, int],
) -> float | None:
    """None if the report names no organ, or none of the scan."""
    values = labels_of(report.organ, names) if report.organ else ()
    organ = image[np.isin(labels, values)]
    return float(np.median(organ)) if organ.size else None


def _is_absolute(report: LesionReport) -> bool:
    """Whether the words of density mean absolute densities: in the lung and in walls of hollow organs."""
    return report.organ is not None and (report.organ in LUNG or is_hollow(report.organ))


def wanted_ct_values(report: LesionReport, level: float | None) -> Range | None:
    """Smallest and largest mean of the lesion, HU; None if nothing is said of its density.

    A value in the report decides alone. Else it is the range that the rules give the density in this organ, or to
    hypo- and hyperdense lesions of others where no rule knows it. The range is moved so that the lesion is less
    dense, as dense or denser than the organ of this scan, as its word says. In the lung and in the walls of hollow
    organs the words mean absolute densities.

    Args:
        report: of the lesion.
        level: of the organ around it, HU; None if unknown.
    """
    if report.ct_value_hu is not None:
        return report.ct_value_hu, report.ct_value_hu
    typical = typical_ct_values(report)
    elsewhere = ct_values_elsewhere(report) if report.density in _APART else None
    low, high = typical or elsewhere or _ANY
    margin = min(INSIDE_HU, (high - low) / 4)
    low, high = low + margin, high - margin
    if _is_absolute(report) or level is None:
        return (low, high) if typical else None
    apart = THRESHOLDS.density_hu + INSIDE_HU
    match report.density:
        case "hypodense" | "hypodense fluid-like":
            return min(low, level - apart), min(high, level - apart)
        case "hyperdense":
            return max(low, level + apart), max(high, level + apart)
        case "isodense" | "mixed-density":  # of mixed density: parts on either side of the organ
            least, most = level - _ISODENSE_HU, level + _ISODENSE_HU
            return min(max(low, least), most), min(max(high, least), most)
    return (low, high) if typical else None
