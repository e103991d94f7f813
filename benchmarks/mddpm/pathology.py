"""Lesions that no training label holds, at places that the seed chooses: are they there, by n and a?

    python benchmarks/mddpm/pathology.py WORK [--run RUN] [--count 24]

Each image is made twice from one seed and anatomy, with the lesion and without it; the noise of all else is the same.
Contrast: mean inside the lesion's mask less that of the ring around it. Controls: the same masks at 20 other places of
each image without a lesion that lie as far inside the lung as the lesion does. Detected: the contrast exceeds the 95th
percentile of the controls, so that 5 % of healthy places count as detected. The place is known to the measure.
Intervals: Clopper-Pearson over images, with the threshold held fixed. Gain: contrast at the same place with the lesion
less that without it, with Student's interval over images. The result goes to pathology.json and pathology.png.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from intervals import interval
from jaxtyping import Bool
from rows import KINDS, requests
from scipy.stats import binomtest

from medsmith.errors import MedsmithError
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.machine import facts
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.adherence import lesion_contrast
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
FACTORS, UNTILS = (1 / 64, 1 / 32, 1 / 16), (0.0, 0.2, 0.4)
SHOWN, PLACES = 4, 20
Mask = Bool[np.ndarray, "x y"]
Row = tuple[str, list[Tile]]


def with_lesion(request: Mapping[str, Any], factor: float, until: float) -> MddpmRequest:
    """The request with other settings of its lesion."""
    lesion = {**request["pathologies"][0], "relative_factor": factor, "until": until}
    return validated(MddpmRequest, "request", {**request, "pathologies": [lesion]})


def gray_of(method: Mddpm, request: MddpmRequest, seed: int) -> np.ndarray:
    """The image of one request and seed."""
    return method.synthesize(request, seed, method.config.sampling).require_image()[0, :, :, 0]


def cases_of(method: Mddpm, request: MddpmRequest, count: int) -> tuple[list[int], list[Mask], list[Mask]]:
    """Seeds whose first anatomy holds the lesion, with the masks of lesion and lung."""
    seeds: list[int] = []
    lesions: list[Mask] = []
    lungs: list[Mask] = []
    for seed in range(20 * count):
        steering = method.steering(request, seed, method.config.sampling)
        if steering.record["anatomies"] == 1 and len(seeds) < count:
            seeds.append(seed)
            lesions.append(steering.lesions[0].mask)
            lungs.append(steering.regions["lung"])
    return seeds, lesions, lungs


def controls(image: np.ndarray, lesion: Mask, lung: Mask, rng: np.random.Generator) -> list[float]:
    """Contrasts of the lesion's mask at other places of the lung."""
    here, inside = np.argwhere(lesion), (lesion & lung).sum()
    found: list[float] = []
    for place in rng.permutation(np.argwhere(lung)):
        points = here - here[len(here) // 2] + place
        if len(found) < PLACES and (points >= 0).all() and (points < image.shape).all():
            moved = np.zeros_like(lesion)
            moved[tuple(points.T)] = True
            if (moved & lung).sum() >= inside:
                found.append(lesion_contrast(image, moved))
    return found


def measure(method: Mddpm, work: Path, kind: str, count: int) -> tuple[list[dict[str, Any]], list[Row]]:
    """Every n and a for one kind of lesion: numbers and first images."""
    request, rng = requests(work)[f"anatomy-{kind}"], np.random.default_rng(0)
    seeds, lesions, lungs = cases_of(method, with_lesion(request, 1 / 32, 0.1), count)
    plain = validated(MddpmRequest, "request", {**request, "pathologies": []})
    healthy = [gray_of(method, plain, seed) for seed in seeds]
    others = [value for each in zip(healthy, lesions, lungs, strict=True) for value in controls(*each, rng)]
    limit = np.percentile(others, 95)
    cells, rows = [], []
    for factor, until in product(FACTORS, UNTILS):
        images = [gray_of(method, with_lesion(request, factor, until), seed) for seed in seeds]
        contrasts = [lesion_contrast(image, mask) for image, mask in zip(images, lesions, strict=True)]
        found = int(sum(contrast > limit for contrast in contrasts))
        low, high = binomtest(found, len(seeds)).proportion_ci()
        detected = [found / len(seeds), float(low), float(high)]
        cells.append({"kind": kind, "n": factor, "a": until, "detected": detected, "limit": float(limit)})
        before = [lesion_contrast(image, mask) for image, mask in zip(healthy, lesions, strict=True)]
        names = [str(seed) for seed in seeds]
        cells[-1] |= {"contrast": float(np.mean(contrasts)), "gain": interval(np.subtract(contrasts, before), names)}
        print(json.dumps(cells[-1]))
        shown = zip(images[:SHOWN], lesions, strict=False)
        tiles = [Tile(image.astype(np.float32), mask.astype(np.uint8)) for image, mask in shown]
        rows.append((f"{kind}\nn {factor:.3g}, a {until:g}\n{found}/{len(seeds)}", tiles))
    return cells, rows


def main(work: Path, run: Path, count: int) -> None:
    """Both kinds of lesion over the grid."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, Mddpm)
    cells, rows = [], []
    for kind in KINDS:
        numbers, images = measure(method, work, kind, count)
        cells += numbers
        rows += images[:: len(UNTILS)]
    write_json(HERE / "pathology.json", {"count": count, "cells": cells, "facts": facts()})
    write_bytes(HERE / "pathology.png", image_grid(rows, title="Lesions by n; requested outline"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--count", type=int, default=24)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.run or arguments.work / "run", arguments.count)
    except MedsmithError as error:
        sys.exit(error.line)
