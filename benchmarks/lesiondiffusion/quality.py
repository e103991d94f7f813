"""What a recipe is worth: do words shape its masks, and do its lesions look like those of phantoms?"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from cubes import Crop
from paired import summary

from medsmith import Case, Cohort
from medsmith.cases.case_ref import CaseRef
from medsmith.data.hounsfield_scale import hu_to_model
from medsmith.diffusion import Sampling, derive_seed
from medsmith.errors import RequestError
from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.radiomics import Radiomics, standardize
from medsmith.evaluation.fidelity.views import View
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.reports.organs import labels_of
from medsmith.reports.schema import LesionReport, ScanReport

ORGANS = ("liver", "kidney", "lung")
MOST_TRIES = 6
EDGE_MM = 26.0
CUBE = Crop(edge_mm=64.0, size=32, jitter_mm=0.0, window_hu=(-1000.0, 1000.0))
SMALLEST_MM = 8.0
FEWEST = 4


def alignment(method: Any, templates: Cohort, walk: Sampling, pairs: int, folder: Path) -> dict[str, Any]:
    """Sphericity of finished masks: round-like against irregular, same template, box and seed. Nothing is painted."""
    path = folder / "masks.json"
    rows = dict(read_json(path)) if path.exists() else {}
    plain = method._generator
    with patch.object(method, "_generator", lambda *given: replace(plain(*given), sample_intensities=unpainted)):
        for number in range(MOST_TRIES * pairs):
            if sum(row is not None for row in rows.values()) >= pairs:
                break
            if str(number) not in rows:
                rows[str(number)] = pair(method, templates, walk, number)
                write_json(path, rows)
    found = [row for row in rows.values() if row is not None]
    return {"measure": "sphericity", **summary([row[0] for row in found], [row[1] for row in found])}


def unpainted(image: np.ndarray, *_: Any) -> np.ndarray:
    """A painter that leaves the cube as it is."""
    return image


def pair(method: Any, templates: Cohort, walk: Sampling, number: int) -> list[float] | None:
    """Sphericity of a round-like and an irregular mask; None where one has no place or none was drawn."""
    organ = ORGANS[number % len(ORGANS)]
    both = []
    for shape in ("round-like", "irregular"):
        report = LesionReport(
            organ=organ, shape=(shape,), size_mm=(EDGE_MM,) * 3, cavity="within the parenchymal organ"
        )
        template = suited(templates, report, number // len(ORGANS))
        case = painted(method, templates, template, report, walk, number) if template else None
        if case is None or case.provenance is None:
            return None
        both.append(float(case.provenance["lesions"][0]["measured"]["measured"]["sphericity"]))
    return both


def frechet(
    method: Any,
    templates: Cohort,
    real: Cohort,
    reports: list[LesionReport],
    walk: Sampling,
    lesions: int,
    folder: Path,
) -> dict[str, Any] | None:
    """Fréchet distance of the radiomic vectors of painted lesions to those of phantoms, with its floor.

    Half of the phantoms are the floor, so that there should be twice as many of them as painted lesions.
    """
    path = folder / "lesions.json"
    rows = dict(read_json(path)) if path.exists() else {}
    for number in range(len(reports)):
        if sum(row is not None for row in rows.values()) >= lesions:
            break
        if str(number) not in rows:
            template = suited(templates, reports[number], number)
            case = painted(method, templates, template, reports[number], walk, number) if template else None
            rows[str(number)] = vector(case) if case else None
            write_json(path, rows)
    made = np.array([row for row in rows.values() if row is not None])
    if len(made) < FEWEST:
        return None
    x, y = standardize(vectors_of(real, folder.parent / "real.json"), made)
    return {"extractor": Radiomics.name, "painted": len(made), **compare(FRECHET, x, y, ComparisonPlan()).as_json()}


def painted(
    method: Any, templates: Cohort, template: str, report: LesionReport, walk: Sampling, number: int
) -> Case | None:
    """A template with a lesion; None where there is no place for it or none was drawn."""
    request = method.Request(templates=CaseRef(cohort=templates.root, case=template), lesions=(report,), attempts=1)
    try:
        case: Case = method.synthesize(request, derive_seed("quality", number), walk)
    except RequestError:
        return None
    return case if case.provenance and "measured" in case.provenance["lesions"][0] else None


def vectors_of(cohort: Cohort, path: Path) -> np.ndarray:
    """Radiomic vectors of all lesions of a cohort that are large enough."""
    rows = dict(read_json(path)) if path.exists() else {}
    for id in cohort.ids:
        if id not in rows:
            rows[id] = vector(cohort[id]) if size_of(own_report(cohort, id)) >= SMALLEST_MM else None
            write_json(path, rows)
    return np.array([row for row in rows.values() if row is not None])


def vector(case: Case) -> list[float] | None:
    """The radiomic vector of a cube about the lesion, with soft tissue given most of the grey range."""
    cube = CUBE.of(case, "lesion")
    if cube is None:
        return None
    grey = (hu_to_model(cube.require_image()[0]) + 1) / 2 * 255
    edge = CUBE.edge_mm / CUBE.size
    view = View(case.id, grey.astype(np.float32), cube.require_labels(), (edge, edge, edge))
    return Radiomics()([view])[0].tolist()


def reports_of(cohort: Cohort) -> list[LesionReport]:
    """What is said of the lesions of a cohort, where they are large enough."""
    found = [own_report(cohort, id) for id in cohort.ids]
    return [report.model_copy(update={"measured": {}}) for report in found if size_of(report) >= SMALLEST_MM]


def own_report(cohort: Cohort, id: str) -> LesionReport:
    return ScanReport.model_validate(read_json(cohort.root / "reports" / f"{id}.json")).lesions[0]


def size_of(report: LesionReport) -> float:
    return max(report.size_mm or (0.0,))


def suited(templates: Cohort, report: LesionReport, number: int) -> str | None:
    """One of the templates that have the organ of a report."""
    there = [id for id, names in organs_of(templates.root).items() if labels_of(report.organ or "", names)]
    return there[number % len(there)] if there else None


@lru_cache(maxsize=2)
def organs_of(root: Path) -> dict[str, dict[str, int]]:
    """Template -> its labels."""
    return {
        case.id: {name: value for name, value in case.label_names.items() if (case.require_labels() == value).any()}
        for case in Cohort.open(root)
    }
