"""The picture of the README: lesions by words, before, after and outlined.

python examples/lesion_pictures.py TEMPLATES RIDER OUT.png

TEMPLATES: medsmith phantom ct-healthy TEMPLATES --count 40 --seed 13 --size 96. RIDER: examples/data/rider.py.
"""

import sys
from pathlib import Path

import numpy as np

from medsmith import load_method
from medsmith.cases.canonical import canonical_case
from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cases.display import displayed
from medsmith.diffusion import Sampling
from medsmith.evaluation.pages.sheets import Tile, contact_sheet
from medsmith.formats.atomic import write_bytes
from medsmith.methods.base import Method
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.reports.reading import read_report

SOFT, LUNG = (-160.0, 240.0), (-1350.0, 150.0)
HALF_MM = 48.0
SAMPLING = Sampling(solver="dpm++2m", steps=10)
PHANTOMS = (
    ("a 20 mm round-like hypodense cyst with a well-defined margin inside the right kidney", SOFT, 5),
    ("a 30 mm irregular hypodense heterogeneous tumour in the liver with an ill-defined margin", SOFT, 1),
    ("a 12 mm hyperdense stone in the gallbladder", SOFT, 3),
)
REAL = (
    ("a 24 mm round-like soft tissue nodule with a well-defined margin in the right lung", LUNG, 4),
    ("a 24 mm irregular soft tissue nodule with spiculated margins in the left lung", LUNG, 2),
)


def main(templates: Path, rider: Path, out: Path) -> None:
    method = load_method("lesiondiffusion")
    wanted = [*((templates, *row) for row in PHANTOMS), *((rider, *row) for row in REAL)]
    write_bytes(out, contact_sheet([row(method, *each) for each in wanted]))


def row(method: Method, scans: Path, words: str, window: tuple[float, float], seed: int) -> list[Tile]:
    """Before, after, outlined, twice: two seeds."""
    tiles: list[Tile] = []
    for number in range(2):
        lesions = read_report(words).report.lesions
        request = LesionDiffusionRequest(templates=CaseRef(cohort=scans), lesions=lesions)
        case = method.synthesize(request, seed + 100 * number, SAMPLING)
        assert case.provenance is not None
        before = Cohort.open(scans)[case.provenance["template"]]
        tiles += tiles_of(before, canonical_case(case), case.provenance["lesions"][0]["box"], window)
    return tiles


def tiles_of(before: Case, after: Case, box: list[list[int]], window: tuple[float, float]) -> list[Tile]:
    """96 mm about the lesion in its middle slice, the patient's right to the left; both cases canonical."""
    spacing = after.geometry.spacing
    middle = [(low + high) // 2 for low, high in zip(*box, strict=True)]
    plane = tuple(
        slice(max(place - round(HALF_MM / edge), 0), place + round(HALF_MM / edge))
        for place, edge in zip(middle[:2], spacing[:2], strict=True)
    )
    mask = after.require_labels() != (0 if before.labels is None else before.labels)
    outline = displayed(mask[*plane, middle[2]].astype(np.uint8), after.geometry.spacing_known)

    def grey(case: Case) -> np.ndarray:
        view = case.require_image()[0][*plane, middle[2]]
        scaled = np.clip((view - window[0]) / (window[1] - window[0]), 0, 1) * 255
        return displayed(scaled.astype(np.float32), case.geometry.spacing_known)

    plain, pixel = np.zeros_like(outline), spacing[:2]
    return [
        Tile(grey(before), plain, "before", pixel=pixel),
        Tile(grey(after), plain, "after", pixel=pixel),
        Tile(grey(after), outline, "outlined", pixel=pixel),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
