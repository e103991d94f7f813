"""Masks alone, on the sites of real nodules that no network saw: do words shape them, and are they like real ones?

python benchmarks/lesiondiffusion/shapes.py RUN NODULES OUT [COUNT]

NODULES is a cohort of masks with words (`examples/train_lesiondiffusion.py` holds back the patients of its test part).
For every nodule: a mask by LMNet from its own report, one as round-like and one as irregular (same seed, same box), a
deformed ellipsoid, and the real one. OUT is a JSON file.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import summary

from medsmith import Case, Cohort
from medsmith.evaluation.fidelity.bootstrap import mean_of_cases
from medsmith.evaluation.fidelity.coverage import Coverage, Density
from medsmith.evaluation.fidelity.statistic import value_between
from medsmith.formats.atomic import write_json
from medsmith.insertion.annotated_lesion import largest_lesion
from medsmith.insertion.organ_map import organ_map_from_case
from medsmith.insertion.shape import HALF, fitted_share
from medsmith.machine import facts
from medsmith.measurement.shape import measure_shape
from medsmith.measurement.spiculation import spicule_share
from medsmith.methods.lesiondiffusion.generator import EllipsoidSampler, LMNetSampler
from medsmith.reports.schema import LesionReport
from medsmith.runs.checkpoints import load_method

COUNT = 100
FEATURES = ("sphericity", "convexity", "fill", "spicule_share")


def main(run: str, nodules: Path, out: Path, count: int) -> None:
    torch.set_num_threads(1)
    method = load_method(run)
    cohort = Cohort.open(nodules)
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    for number, id in enumerate(cohort.ids[:count]):
        rows.append(masks_of(method, cohort[id], number))
    seconds = time.monotonic() - began
    said = {**facts(), "weights": method.weights_hash}
    result = {"n": len(rows), "seconds": round(seconds, 1), **compared(rows), "facts": said, "rows": rows}
    write_json(out, result)
    print({key: value for key, value in result.items() if key != "rows"})


def masks_of(method: Any, case: Case, seed: int) -> dict[str, Any]:
    lesion = largest_lesion(case)
    config, frame = method.config.mask, method.config.mask.frame.about(lesion.box, lesion.geometry)
    shaper = LMNetSampler(method.lmnet, method.vocabulary("mask"), config.guidance, method.config.sampling)
    organ_map = organ_map_from_case(case)
    allowed = np.ones([part.stop - part.start for part in frame.region], dtype=bool)

    def features(field: np.ndarray, levels: tuple[float, ...]) -> dict[str, float]:
        return shape_of(fitted_share(field, frame, lesion.box, allowed, levels) >= HALF, lesion)

    def said(report: LesionReport) -> dict[str, float]:
        return features(shaper(organ_map, frame, lesion.box, report, seed), config.levels)

    return {
        "id": case.id,
        "shape": list(lesion.report.shape),
        "real": shape_of(lesion.mask, lesion),
        "lmnet": said(lesion.report),
        "round-like": said(lesion.report.model_copy(update={"shape": ("round-like",)})),
        "irregular": said(lesion.report.model_copy(update={"shape": ("irregular",)})),
        "ellipsoid": features(EllipsoidSampler()(organ_map, frame, lesion.box, lesion.report, seed), (0.0,)),
    }


def shape_of(mask: np.ndarray, lesion: Any) -> dict[str, float]:
    spacing = lesion.geometry.spacing
    if mask.sum() < 10:
        return dict.fromkeys((*FEATURES, "diameter"), float("nan"))
    found = measure_shape(mask, spacing)
    return {
        "sphericity": found.sphericity,
        "convexity": found.convexity,
        "fill": found.volume_mm3 / float(np.prod(found.edges_mm)),
        "spicule_share": spicule_share(mask, spacing),
        "diameter": found.equivalent_diameter_mm,
    }


def compared(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Words against words (size-matched: same boxes), and each source of masks against the real ones."""
    pairs = {
        measure: summary([row["round-like"][measure] for row in rows], [row["irregular"][measure] for row in rows])
        for measure in ("sphericity", "convexity", "diameter")
    }
    real = _standardised(rows, "real", rows)
    everyone = np.arange(len(rows))
    sources = {}
    for source in ("real", "lmnet", "ellipsoid"):
        made = _standardised(rows, source, rows)
        there = np.flatnonzero(np.isfinite(made).all(axis=1))
        half = everyone[::2], everyone[1::2]
        apart = (real[half[0]], real[half[1]]) if source == "real" else (real, made[there])
        sources[source] = {
            "density": round(value_between(Density, *apart), 3),
            "coverage": round(value_between(Coverage, *apart), 3),
            **{name: _mean(rows, source, name) for name in FEATURES},
        }
    return {"words": pairs, "sources": sources}


def _mean(rows: list[dict[str, Any]], source: str, name: str) -> dict[str, float]:
    values = np.array([row[source][name] for row in rows])
    found = mean_of_cases(values[np.isfinite(values)], seed=0)
    return {key: round(getattr(found, key), 3) for key in ("value", "low", "high")}


def _standardised(rows: list[dict[str, Any]], source: str, reference: list[dict[str, Any]]) -> np.ndarray:
    def table(of: str, among: list[dict[str, Any]]) -> np.ndarray:
        return np.array([[row[of][name] for name in FEATURES] for row in among])

    base = table("real", reference)
    return (table(source, rows) - base.mean(axis=0)) / base.std(axis=0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else COUNT)
