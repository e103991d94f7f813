"""Are painted lesions as grainy as their scan? Real lesions of phantoms, paintings alone, and paintings with its grain.

    python benchmarks/lesiondiffusion/grain.py RUN TEMPLATES TEST [COUNT]

    medsmith phantom ct-healthy TEMPLATES --count 24 --size 96 --seed 32
    medsmith phantom ct TEST --count 124 --size 96 --seed 202

Grain is what a Gaussian of 1 mm takes away, its spread a median absolute deviation; the figure is that in the lesion,
clear of its border, over that of the tissue about it. TEMPLATES are healthy phantoms, TEST phantoms with lesions. One
draw per lesion. Findings go to grain.json beside this file; two minutes on one thread.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import median_abs_deviation

from medsmith import Case, Cohort, load_method
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case_ref import CaseRef
from medsmith.errors import RequestError
from medsmith.evaluation.fidelity.bootstrap import mean_of_cases
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.methods.lesiondiffusion.attributes import LEAST_ORGAN_MM3
from medsmith.reports.organs import is_lesion, labels_of
from medsmith.reports.schema import LesionReport

HERE = Path(__file__).parent
ORGANS = ("liver", "kidney")
ASKED: dict[str, Any] = {
    "cavity": "within the parenchymal organ",
    "size_mm": (24.0, 24.0, 24.0),
    "shape": ("round-like",),
}
WORDS = ("homogeneous", "heterogeneous")
BAND_MM = 1.0
CLEAR_MM = 3.0
SHELL_MM = (3.5, 12.0)
SAME_TISSUE_HU = 60.0
FEWEST = 100


def main(run: str, templates: Path, test: Path, count: int) -> None:
    torch.set_num_threads(1)
    method = load_method(run)
    found: dict[str, Any] = {}
    for word in WORDS:
        with patch("medsmith.methods.lesiondiffusion.insert_lesion.missing_noise", return_value=0.0):
            alone = list(painted(method, templates, word, count))
        ratios = {
            "real": list(real(Cohort.open(test), word)),
            "painted alone": alone,
            "painted, with grain": list(painted(method, templates, word, count)),
        }
        found[word] = {name: summary(values) for name, values in ratios.items()}
        print(word, found[word], flush=True)
    write_json(HERE / "grain.json", {"ratios": found, "facts": {**facts(), "weights": method.weights_hash}})


def summary(ratios: list[float]) -> dict[str, float]:
    mean = mean_of_cases(np.array(ratios), seed=0)
    return {"n": len(ratios), "value": round(mean.value, 3), "low": round(mean.low, 3), "high": round(mean.high, 3)}


def real(cohort: Cohort, word: str) -> Iterator[float]:
    """Of scans with one lesion of which that word is true."""
    for case in cohort:
        lesions = (case.report or {}).get("lesions", [])
        if len(lesions) == 1 and lesions[0].get("density_variation") == word:
            ratio = ratio_of(case)
            if ratio is not None:
                yield ratio


def painted(method: Any, templates: Path, word: Any, count: int) -> Iterator[float]:
    """Of lesions in liver and kidney; a place where none fits is passed over."""
    places, made = places_of(Cohort.open(templates)), 0
    for seed, (id, organ) in enumerate(places):
        asked = LesionReport(**ASKED, organ=organ, density_variation=word)
        request = method.Request(templates=CaseRef(cohort=templates, case=id), lesions=(asked,), attempts=1)
        try:
            ratio = ratio_of(method.synthesize(request, seed, method.config.sampling))
        except RequestError:
            continue
        if ratio is not None:
            made += 1
            yield ratio
        if made == count:
            return


def places_of(cohort: Cohort) -> list[tuple[str, str]]:
    """Templates and organs that they have plenty of."""
    found = []
    for id in cohort.ids:
        case = cohort[id]
        for organ in ORGANS:
            voxels = np.isin(case.require_labels(), labels_of(organ, case.label_names)).sum()
            if voxels * np.prod(case.geometry.spacing) > LEAST_ORGAN_MM3:
                found.append((id, organ))
    return found


def ratio_of(case: Case) -> float | None:
    """Grain in the lesions over grain about them; None where there is too little of either."""
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    mask = canonical_view(np.isin(case.require_labels(), values), case.geometry)
    image, spacing = canonical_view(case.require_image()[0], case.geometry), canonical_geometry(case.geometry).spacing
    distance = distance_transform_edt(~mask, sampling=spacing)
    shell = (distance > SHELL_MM[0]) & (distance < SHELL_MM[1])
    core = distance_transform_edt(mask, sampling=spacing) > CLEAR_MM
    if min(core.sum(), shell.sum()) < FEWEST:
        return None
    around = shell & (np.abs(image - np.median(image[shell])) < SAME_TISSUE_HU)
    return spread(image, core, spacing) / spread(image, around, spacing)


def spread(image: np.ndarray, zone: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Of what is finer than the Gaussian, which looks at the zone alone (normalised convolution)."""
    sigma = [BAND_MM / edge for edge in spacing]
    weight = gaussian_filter(zone.astype(np.float64), sigma)
    smooth = gaussian_filter(np.where(zone, image, 0.0).astype(np.float64), sigma) / np.maximum(weight, 1e-6)
    return float(median_abs_deviation((image - smooth)[zone], scale="normal"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 40)
