"""The synthetic cohorts behind the rows of the mDDPM tables.

    python benchmarks/mddpm/rows.py WORK [--run RUN] [--count 120] [ROW ...]

WORK holds what cohorts.py writes and RUN, the trained run (default WORK/run). Each row becomes a cohort WORK/rows/ROW;
a row that was interrupted is continued. Lesions come from chest phantoms: a round and a spiculated nodule.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from cohorts import fitted_space

from medsmith import Cohort, synthesize
from medsmith.cases.case import Case
from medsmith.cases.stretching import stretch
from medsmith.data.scaling import model_to_image
from medsmith.diffusion import derive_seed
from medsmith.diffusion.image_guidance import COMBINATIONS
from medsmith.errors import MedsmithError, SynthesisError
from medsmith.geometry import Geometry
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.phantoms.families import find_family
from medsmith.phantoms.family import case_seed
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis import SynthesisOptions
from medsmith.synthesis.checks.result import Limits

SEED = 3
KINDS = ("round", "spiculated")
DIAMETERS_MM = (16.0, 30.0)
TEXTURE = {"relative_factor": 1 / 32, "until": 0.3}
SINGLE = (32, 16, 8)
"""Factors of the one guide of the ablation: downsampling to so many pixels' edge is kept."""
COMBINED = tuple(f"{name}-round" for name in COMBINATIONS)


def lesions(out: Path) -> Cohort:
    """One slice per kind of nodule, 256 pixels, in 8 bit, with the nodule as its only label."""
    cohort = Cohort.create(out, channel_names=("gray",), label_names={"background": 0, "nodule": 1}, file_ending=".png")
    for kind in KINDS:
        if kind not in cohort:
            cohort.write(replace(_slice_with(kind), id=kind))
    cohort.finish()
    return Cohort.open(out)


def _slice_with(kind: str) -> Case:
    """The first phantom whose only nodule is solid, of a shape and a size, its gray values stretched to 8 bit."""
    family = find_family("chest")
    seed = next(seed for seed in (case_seed("chest", SEED, index) for index in range(5000)) if _fits(seed, kind))
    large = stretch(family.make(seed, kind, 256), (0.5, 99.5))
    labels = (large.require_labels() == family.label_names["nodule"]).astype(np.uint8)
    # As a picture like the slices: without spacing, the patient's right on the left and the front at the top.
    picture, labels = large.require_image()[:, ::-1, ::-1], labels[::-1, ::-1]
    grid, names = Geometry.plain(large.geometry.shape), {"background": 0, "nodule": 1}
    return Case(kind, picture, labels, grid, ("gray",), names, np.dtype(np.uint8))


def _fits(seed: int, kind: str) -> bool:
    report = find_family("chest").make(seed, kind, 32).report or {}
    low, high = DIAMETERS_MM
    match list(report.get("lesions", ())):
        case [{"shape": shape, "density": "solid", "place": "parenchyma", "equivalent_diameter_mm": diameter}]:
            return bool(shape == kind and low <= diameter <= high)
    return False


def requests(work: Path) -> Mapping[str, Mapping[str, Any]]:
    """Row -> request."""
    anatomy = {"space": str(work / "space.safetensors")}
    texture = {"image": str(work / "unlabeled"), **TEXTURE}
    nodules = {kind: {"case": {"cohort": str(work / "lesions"), "case": kind}, "within": "lung"} for kind in KINDS}
    whole = {"anatomy": anatomy, "guides": [texture], "pathologies": [nodules["round"]]}
    rows: dict[str, Mapping[str, Any]] = {
        "unguided": {},
        "anatomy": {"anatomy": anatomy},
        "anatomy-texture": {"anatomy": anatomy, "guides": [texture]},
        "anatomy-texture-round": whole,
        "anatomy-round": {"anatomy": anatomy, "pathologies": [nodules["round"]]},
        "anatomy-spiculated": {"anatomy": anatomy, "pathologies": [nodules["spiculated"]]},
    }
    rows |= {row: {**whole, "combination": row.removesuffix("-round")} for row in COMBINED}
    for kind, factor in product(KINDS, SINGLE):
        guide = {"image": str(work / f"single-{kind}"), "relative_factor": 1 / factor, "until": 0.1}
        rows[f"single-{kind}-{factor}"] = {"guides": [guide]}
    return rows


def single_guides(method: Mddpm, work: Path, kind: str, count: int) -> None:
    """The ablation's guides: one image with anatomy and lesion painted into it (section 5.3 of the paper)."""
    names = {"background": 0, "nodule": 1}
    out = Cohort.create(work / f"single-{kind}", channel_names=("gray",), label_names=names, file_ending=".png")
    request = validated(MddpmRequest, "request", requests(work)[f"anatomy-{kind}"])
    for index in range(count):
        id = f"map-{index:04d}"
        if id in out:
            continue
        steering = method.steering(request, derive_seed(SEED, "single", index), method.config.sampling)
        (lesion,) = steering.lesions
        image = steering.guides["anatomy"].reference[0].clone()
        image[:, lesion.mask] = lesion.image[:, lesion.mask]
        gray, grid = model_to_image(image, method.fingerprint), Geometry.plain((*image.shape[1:], 1))
        labels = lesion.mask[..., None].astype(np.uint8)
        out.write(Case(id, gray, labels, grid, ("gray",), names, np.dtype(np.uint8)))
    out.finish()


def main(work: Path, run: Path, count: int, chosen: list[str]) -> None:
    """Every row that is asked for, or all."""
    fitted_space(work)
    lesions(work / "lesions")
    method = load_method(run)
    assert isinstance(method, Mddpm)
    for row, request in requests(work).items():
        if chosen and row not in chosen:
            continue
        if row.startswith("single"):
            single_guides(method, work, row.split("-")[1], count)
        out = work / "rows" / row
        try:
            # Combinations are compared by how far images follow their annotation, so none is refused for it.
            limits = Limits(region_dice=0, lesion_contrast=0) if row in COMBINED else Limits()
            options, progress = SynthesisOptions(limits=limits), ConsoleProgress()
            made = synthesize(run, out, count=count, seed=SEED, request=request, options=options, progress=progress)
            print(row, made.line)
        except SynthesisError as error:  # a row whose images do not pass the checks is a result as well
            print(row, error.line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--count", type=int, default=120)
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.run or arguments.work / "run", arguments.count, arguments.rows)
    except MedsmithError as error:
        sys.exit(error.line)
