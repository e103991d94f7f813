"""Do lesions follow their words? Pairs of requests that differ in one attribute, measured on the finished scan.

python benchmarks/lesiondiffusion/alignment.py RUN TEMPLATES OUT [PAIRS]

One draw per lesion: nothing is drawn again, so that what is measured is what the networks make of the words.
OUT/NAME.json keeps every pair; the same command again goes on.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import summary

from medsmith import Cohort
from medsmith.cases.case_ref import CaseRef
from medsmith.errors import RequestError
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.reports.organs import labels_of
from medsmith.reports.schema import LesionReport
from medsmith.runs.checkpoints import load_method

PAIRS = 50
ORGANS = ("liver", "kidney", "lung")
COMMON: dict[str, Any] = {"cavity": "within the parenchymal organ"}


@dataclass(frozen=True)
class Contrast:
    """Two requests that differ in one attribute, and what is measured of it.

    Attributes:
        more: attributes of the request that should measure more.
        less: of the other one.
        both: what the two share.
        measure: key of the measured numbers.
        organs: in which it is asked for.
    """

    more: Mapping[str, Any]
    less: Mapping[str, Any]
    both: Mapping[str, Any]
    measure: str
    organs: tuple[str, ...] = ("liver", "kidney")


def cube(edge: float) -> dict[str, Any]:
    return {"size_mm": (edge, edge, edge)}


def ball(edge: float) -> dict[str, Any]:
    """Round, so that a rough border is not taken for a soft one."""
    return {**cube(edge), "shape": ("round-like",)}


CONTRASTS: Mapping[str, Contrast] = {
    "shape": Contrast({"shape": ("round-like",)}, {"shape": ("irregular",)}, cube(26), "sphericity", ORGANS),
    "size": Contrast(cube(28), cube(16), {"shape": ("round-like",)}, "equivalent_diameter_mm", ORGANS),
    "density": Contrast({"density": "hyperdense"}, {"density": "hypodense"}, cube(24), "contrast_hu"),
    "CT value": Contrast({"ct_value_hu": 100.0}, {"ct_value_hu": 30.0}, cube(24), "mean_hu"),
    "density variation": Contrast(
        {"density_variation": "heterogeneous"}, {"density_variation": "homogeneous"}, ball(26), "heterogeneity_hu"
    ),
    "surface": Contrast(
        {"surface": "ill-defined margin"},
        {"surface": "well-defined margin"},
        {**ball(26), "density": "hypodense"},
        "margin_width_mm",
    ),
    "location": Contrast(
        {"cavity": "protruding from the parenchymal organ"},
        {"cavity": "within the parenchymal organ"},
        cube(20),
        "share_outside",
    ),
}


def main(run: str, templates: Path, out: Path, pairs: int) -> None:
    torch.set_num_threads(1)
    method = load_method(run)
    cohort = Cohort.open(templates)
    for name, contrast in CONTRASTS.items():
        path = out / f"{name.replace(' ', '-')}.json"
        kept = json.loads(path.read_text())["pairs"] if path.exists() else []
        places = places_of(cohort, contrast.organs)
        if len(kept) < pairs:
            kept = [*kept, *draw(method, templates, contrast, places, len(kept), pairs - len(kept))]
        found = summary([pair["more"] for pair in kept], [pair["less"] for pair in kept])
        said = {**facts(), "weights": method.weights_hash}
        write_json(path, {"measure": contrast.measure, **found, "facts": said, "pairs": kept})
        print(name, found, flush=True)


def places_of(cohort: Cohort, organs: tuple[str, ...]) -> list[tuple[str, str]]:
    """Templates and organs that they have plenty of."""
    found = []
    for id in cohort.ids:
        case = cohort[id]
        for organ in organs:
            voxels = np.isin(case.require_labels(), labels_of(organ, case.label_names)).sum()
            if voxels * np.prod(case.geometry.spacing) > 90_000:
                found.append((id, organ))
    return found


def draw(
    method: Any, templates: Path, contrast: Contrast, places: list[tuple[str, str]], start: int, wanted: int
) -> list[dict[str, Any]]:
    """Pairs of lesions; a place where one of the two does not fit is passed over."""
    made: list[dict[str, Any]] = []
    began, number = time.monotonic(), start
    while len(made) < wanted and number < start + 6 * wanted + 60:
        id, organ = places[number % len(places)]
        said = {**COMMON, "organ": organ, **contrast.both}
        more, less = (
            measured(method, templates, id, LesionReport(**{**said, **side}), number, contrast.measure)
            for side in (contrast.more, contrast.less)
        )
        number += 1
        if more is not None and less is not None:
            made.append({"template": id, "organ": organ, "seed": number - 1, "more": more, "less": less})
    print(f"{len(made)} pairs in {time.monotonic() - began:.0f} s", flush=True)
    return made


def measured(method: Any, templates: Path, id: str, report: LesionReport, seed: int, measure: str) -> float | None:
    """One number of one lesion; None where it has no place or cannot be measured."""
    request = method.Request(templates=CaseRef(cohort=templates, case=id), lesions=(report,), attempts=1)
    try:
        case = method.synthesize(request, seed, method.config.sampling)
    except RequestError:
        return None
    (record,) = case.provenance["lesions"]
    return record.get("measured", {}).get("measured", {}).get(measure)


Measure = Callable[[Any], float]

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else PAIRS)
