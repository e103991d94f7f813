"""Which n and a of the anatomy's guide: how near to real slices, and how well the map is followed.

    python benchmarks/mddpm/settings.py WORK [--run RUN] [--count 48]

One set of anatomies and seeds for all cells; besides anatomies of the shape space also those of real slices
(WORK/labeled), which tells what the shape space costs from what the guide costs. Fréchet distance to slices of
WORK/unlabeled, so that no setting is chosen on the patients that table.py reports on; Dice of the lung that thresholds
find in the image with the lung of the map. No image is refused as a copy here. Finished cells are kept in
WORK/settings.json; the result goes to settings.json beside this file.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from table import evenly, features_of

from medsmith import Cohort
from medsmith.anatomy.context import LUNG, find_context
from medsmith.cases.case import Case
from medsmith.diffusion import Sampling
from medsmith.errors import MedsmithError
from medsmith.evaluation.fidelity.frechet import frechet_distance
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.measurement.overlap import dice
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
FACTORS, UNTILS = (1 / 32, 1 / 16, 1 / 8, 1 / 4), (0.1, 0.3, 0.5, 0.7)
SLICES = 240
"""Of the cohort that distances are taken to."""
Images = Float64[np.ndarray, "n x y"]


def cells(work: Path) -> Mapping[str, Mapping[str, Any]]:
    """Name of a cell -> request."""
    space = {"space": str(work / "space.safetensors")}
    real = {**space, "labels": str(work / "labeled")}
    found: dict[str, Mapping[str, Any]] = {"unguided": {}}
    for (source, anatomy), factor, until in product((("space", space), ("real", real)), FACTORS, UNTILS):
        if source == "space" or factor == FACTORS[1]:
            found[f"{source} {factor:g} {until:g}"] = {
                "anatomy": {**anatomy, "relative_factor": factor, "until": until}
            }
    return found


def lung_dice(image: Float64[np.ndarray, "x y"], lung: np.ndarray) -> float:
    """Dice of the lung that thresholds find with that of the map."""
    return float(dice(find_context(image.astype(np.float32)).get(LUNG, np.zeros(lung.shape, bool)), lung))


def measure(
    method: Mddpm,
    raw: Mapping[str, Any],
    count: int,
    work: Path,
    folder: Path,
    sampling: Sampling | None = None,
    reference: str = "unlabeled",
) -> dict[str, float]:
    """Fréchet distance and Dice of the slices of one request; they are kept as a cohort, so that a call continues."""
    request, scores, sampling = validated(MddpmRequest, "request", raw), [], sampling or method.config.sampling
    cohort = Cohort.create(folder, channel_names=("gray",), label_names={"background": 0}, file_ending=".png")
    for seed in range(count):
        id = f"c{seed:04d}"
        if id not in cohort:
            made = method.synthesize(request, seed, sampling)
            names, stored = {"background": 0}, np.dtype(np.uint8)
            cohort.write(Case(id, made.require_image(), None, made.geometry, ("gray",), names, stored))
        if raw:
            lung = method.steering(request, seed, sampling).regions["lung"]
            scores.append(lung_dice(cohort[id].require_image()[0, :, :, 0].astype(np.float64), lung))
    cohort.finish()
    known = Cohort.open(work / reference)
    real, _, _ = features_of(known.subset(evenly(known.ids, SLICES)), work)
    made_features, _, _ = features_of(Cohort.open(folder), work)
    return {"frechet": float(frechet_distance(real, made_features)), "lung_dice": float(np.mean(scores or [np.nan]))}


def main(work: Path, run: Path, count: int, chosen: Sequence[str]) -> None:
    """Every cell."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, Mddpm)
    kept = work / "settings.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for name, request in cells(work).items():
        if name in found or (chosen and not any(name.startswith(each) for each in chosen)):
            continue
        values = measure(method, request, count, work, work / "settings" / name.replace(" ", "-").replace(".", "_"))
        found[name] = {key: None if np.isnan(value) else value for key, value in values.items()}
        write_json(kept, found)
        print(name, found[name], flush=True)
    write_json(HERE / "settings.json", {"count": count, "cells": found, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("cells", nargs="*", help="first words of names, such as 'space 0.125'")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--count", type=int, default=48)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.run or arguments.work / "run", arguments.count, arguments.cells)
    except MedsmithError as error:
        sys.exit(error.line)
