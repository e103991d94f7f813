"""The attributes of a report that a lesion can be asked for, and the measure that shows each on the finished scan."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, final

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_case, open_cohort
from medsmith.errors import RequestError
from medsmith.methods.attributes import Attribute, Draw, Focus
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.reports.lesion_label import SYNTHETIC
from medsmith.reports.organs import labels_of
from medsmith.reports.schema import LesionReport

LEAST_ORGAN_MM3 = 90_000.0
"""Volume of an organ in which lesions of all requested sizes have room."""
_SOLID = ("liver", "kidney")
_INSIDE, _PROTRUDING = "within the parenchymal organ", "protruding from the parenchymal organ"
_SCALED = "texture scaled to it"
Words = Mapping[str, Any]
Numbers = Mapping[str, float]


@final
@dataclass(frozen=True)
class _Asked:
    """What the reports of one attribute say.

    Attributes:
        levels: level -> what its report says, in the order in which the measure should rise.
        both: what all reports say besides.
        organs: in which lesions are asked for.
    """

    levels: Mapping[str, Words]
    both: Words
    organs: tuple[str, ...] = _SOLID


def lesion_attributes() -> tuple[Attribute, ...]:
    """Shape, size, density, CT value, density variation, surface, location, what lies inside, and spicules."""
    round_like: Words = {"shape": ("round-like",)}
    # Round in all but the first, so that a rough border is not taken for a soft one.
    shape = _Asked({"irregular": {"shape": ("irregular",)}, "round-like": round_like}, _cube(26), (*_SOLID, "lung"))
    size = _Asked({f"{edge} mm": _cube(edge) for edge in (16, 22, 28)}, round_like, (*_SOLID, "lung"))
    density = _Asked({word: {"density": word} for word in ("hypodense", "hyperdense")}, _cube(24))
    value = _Asked({f"{hu} HU": {"ct_value_hu": float(hu)} for hu in (30, 65, 100)}, _cube(24))
    words = ("homogeneous", "heterogeneous")
    variation = _Asked({word: {"density_variation": word} for word in words}, {**_cube(26), **round_like})
    margins = {f"{word} margin": {"surface": f"{word} margin"} for word in ("well-defined", "ill-defined")}
    surface = _Asked(margins, {**_cube(26), **round_like, "density": "hypodense"})
    place = _Asked({"within": {"cavity": _INSIDE}, "protruding": {"cavity": _PROTRUDING}}, _cube(20))
    return (
        _attribute("shape", shape, ("sphericity", "sphericity")),
        _attribute("size", size, ("equivalent_diameter_mm", "equivalent diameter, mm"), "stretched to its box"),
        _attribute("density", density, ("contrast_hu", "contrast to the organ, HU"), "mean moved into its range"),
        _attribute("CT value", value, ("mean_hu", "mean, HU"), "mean shifted to it"),
        _attribute(
            "density variation", variation, ("heterogeneity_hu", "heterogeneity, HU"), "texture bounded on either side"
        ),
        _attribute("surface", surface, ("margin_width_mm", "width of the margin, mm"), "width of the blending"),
        _attribute("location", place, ("share_outside", "share outside the organ"), "placed there"),
        *_features(),
    )


def _features() -> tuple[Attribute, ...]:
    """Ring, mixed density, areas of other density and spicules, each against the same lesion without it."""
    uneven: Words = {**_cube(26), "shape": ("round-like",), "density_variation": "heterogeneous"}
    hypodense: Words = {"density": "hypodense"}
    ring = _Asked({"hypodense": hypodense, "ring enhancement": {"density": "ring enhancement"}}, uneven)
    mixed = _Asked({"hypodense": hypodense, "mixed-density": {"density": "mixed-density"}}, uneven)
    found = [
        _attribute("ring enhancement", ring, ("rim_minus_core_hu", "rim less core, HU"), "rim made after the network"),
        _attribute("mixed density", mixed, (_both_tails, "lesser of both tails beyond the organ, HU"), _SCALED),
    ]
    for kind, tail in (("decreased", _low_tail), ("increased", _high_tail)):
        features = {"none": {}, "areas": {"features": (f"presence of {kind} density areas",)}}
        areas = _Asked(features, {**uneven, **hypodense})
        found.append(_attribute(f"areas of {kind} density", areas, (tail, "tail from the mean, HU"), _SCALED))
    levels: Mapping[str, Words] = {"none": {}, "spiculated margins": {"features": ("spiculated margins",)}}
    spicules = _Asked(levels, {**_cube(26), "density": "isodense soft tissue mass"}, ("lung",))
    measure = ("spicule_share", "share of the volume in spicules")
    return (*found, _attribute("spiculated margins", spicules, measure, "spicules made after the network"))


def _low_tail(measured: Numbers) -> float:
    return measured["mean_hu"] - measured["low_hu"]


def _high_tail(measured: Numbers) -> float:
    return measured["high_hu"] - measured["mean_hu"]


def _both_tails(measured: Numbers) -> float:
    around = measured["surroundings_hu"]
    return min(around - measured["low_hu"], measured["high_hu"] - around)


def _attribute(
    name: str, asked: _Asked, measure: tuple[str | Callable[[Numbers], float], str], enforced: str = ""
) -> Attribute:
    key, measured = measure
    number = itemgetter(key) if isinstance(key, str) else key
    return Attribute(
        name,
        tuple(asked.levels),
        measured,
        partial(_requests, asked),
        partial(_measured, number),
        enforced,
        focus=_focus,
    )


def _cube(edge: float) -> Words:
    return {"size_mm": (float(edge),) * 3}


def _requests(asked: _Asked, draw: Draw) -> list[LesionDiffusionRequest]:
    """One request for each level, in one organ of one template; nothing is drawn again where a lesion misses it.

    Raises:
        RequestError: there are no templates, or the draw's template has no such organ that is large enough.
    """
    ref = draw.template("image", "labels")
    if ref is None:
        raise RequestError("templates", "none given", "lesions are inserted into scans", "name a cohort of CT")
    organ = _organ(ref, draw.number // len(open_cohort(ref)), asked.organs)
    said = {"cavity": _INSIDE, "organ": organ, **asked.both}
    reports = (LesionReport(**{**said, **words}) for words in asked.levels.values())
    return [
        LesionDiffusionRequest(templates=ref, lesions=(report,), label_as=SYNTHETIC, attempts=1) for report in reports
    ]


def _organ(template: CaseRef, turn: int, organs: Sequence[str]) -> str:
    """The organs that a template has plenty of, in turn."""
    case = load_case(template, 0)
    labels, voxel = case.require_labels(), float(np.prod(case.geometry.spacing))
    volumes = {organ: np.isin(labels, labels_of(organ, case.label_names)).sum() * voxel for organ in organs}
    fitting = [organ for organ, volume in volumes.items() if volume > LEAST_ORGAN_MM3]
    if not fitting:
        found = f"none of {', '.join(organs)} is labeled with {LEAST_ORGAN_MM3 / 1000:.0f} mL"
        limit = "lesions of 16 to 28 mm need that room"
        raise RequestError(f"template '{case.id}'", found, limit, "name scans with labels of organs")
    return fitting[turn % len(fitting)]


def _measured(number: Callable[[Numbers], float], cases: Sequence[Case]) -> list[float]:
    """One number of the only lesion of each case, from its provenance; NaN where it could not be measured."""
    found = []
    for case in cases:
        try:
            found.append(float(number(_record(case).get("measured", {}).get("measured", {}))))
        except KeyError:
            found.append(math.nan)
    return found


def _focus(case: Case) -> Focus:
    """The middle of the lesion's box."""
    low, high = np.array(_record(case)["box"])
    x, y, z = ((low + high) // 2).tolist()
    return Focus((x, y, z), SYNTHETIC)


def _record(case: Case) -> Mapping[str, Any]:
    assert case.provenance is not None
    (record,) = case.provenance["lesions"]
    found: Mapping[str, Any] = record
    return found
