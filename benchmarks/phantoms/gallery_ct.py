"""Draws one CT phantom of every lesion type with the edge of its lesion and its report: docs/phantoms-ct.png.

medsmith phantom ct TRUNKS --count 150 --seed 21 --size 96
medsmith phantom ct-head HEADS --count 1 --seed 21 --size 96
python benchmarks/phantoms/gallery_ct.py TRUNKS HEADS
"""

import sys
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.formats.json_file import read_json
from medsmith.reports.rules import LESION_TYPES
from medsmith.reports.schema import LesionReport

OUT = Path(__file__).parents[2] / "docs" / "phantoms-ct.png"
SOFT, LUNG, BRAIN = (-160.0, 240.0), (-1350.0, 250.0), (-20.0, 110.0)
SMALLEST_MM = 8.0
"""A dot shows nothing: the first phantom of its type whose lesion is this long is drawn."""


def main(cohorts: list[Path]) -> None:
    """One row per type: axial, axial and coronal with the lesion's edge, and the words."""
    chosen = first_of_types(cohorts)
    figure, grid = plt.subplots(len(chosen), 4, figsize=(11, 2.6 * len(chosen)), layout="constrained")
    for row, (lesion_type, (folder, case_id)) in zip(grid, chosen.items(), strict=True):
        draw_row(row, lesion_type, Cohort.open(folder)[case_id])
    figure.savefig(OUT, dpi=60, pil_kwargs={"optimize": True})


def first_of_types(cohorts: list[Path]) -> dict[str, tuple[Path, str]]:
    """Lesion type -> cohort and case, in the order of the rules."""
    found: dict[str, tuple[Path, str]] = {}
    for folder in cohorts:
        for path in sorted((folder / "reports").glob("*.json")):
            lesion = read_json(path)["lesions"][0]
            if max(lesion["size_mm"]) >= SMALLEST_MM:
                found.setdefault(lesion["lesion_type"], (folder, path.stem))
    return {name: found[name] for name in LESION_TYPES if name in found}


def draw_row(row: np.ndarray, lesion_type: str, case: Case) -> None:
    """The patient's right is on the left, the front above; coronal: the head above."""
    assert case.report is not None
    report = LesionReport.model_validate(case.report["lesions"][0])
    image, mask = case.require_image()[0], case.require_labels() == case.label_names["lesion"]
    _x, y, z = (round(places.mean()) for places in np.nonzero(mask))
    low, high = LUNG if "lung" in lesion_type else BRAIN if report.organ == "brain" else SOFT
    axial, coronal = np.s_[:, :, z], np.s_[:, y, :]
    for axes, plane, outlined in zip(row, (axial, axial, coronal), (False, True, True), strict=False):
        axes.imshow(image[plane][::-1].T, cmap="gray", vmin=low, vmax=high, origin="lower")
        if outlined and mask[plane].any():
            axes.contour(mask[plane][::-1].T.astype(float), [0.5], colors="tab:orange", linewidths=1)
        axes.set_axis_off()
    row[0].set_title(lesion_type, fontsize=12, loc="left")
    row[3].set_axis_off()
    row[3].text(0, 0.98, words_of(report), fontsize=10.5, va="top", transform=row[3].transAxes)


def words_of(report: LesionReport) -> str:
    """The report, one attribute per line."""
    size = " x ".join(f"{edge:.0f}" for edge in report.size_mm or ())
    said = (
        f"{report.organ}, {report.enhancement}",
        f"{', '.join(report.shape)}; {size} mm",
        f"{report.density}, {report.density_variation}, {report.ct_value_hu:.0f} HU",
        report.surface,
        report.cavity,
        report.relationship,
        ", ".join(report.features),
    )
    return "\n".join(textwrap.fill(line, 40, subsequent_indent="   ") for line in said if line)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
