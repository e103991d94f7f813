"""Lesions that no training label holds, at places that the seed chooses: are they there, by n and a?

    python benchmarks/mddpm/pathology.py WORK [--run RUN] [--count 24]

Each image is made twice from one seed, with the lesion and without it. Contrast: mean inside the lesion's mask less
that of the ring around it. Detected: the contrast exceeds the 95th percentile of the contrasts at the same places in
the images without lesions. Intervals are exact. The result goes to pathology.json and pathology.png.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from made_by import facts
from rows import requests
from scipy.stats import binomtest

from medsmith.errors import MedsmithError
from medsmith.evaluation.pages.image_grid import image_grid
from medsmith.evaluation.pages.sheets import Tile
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.adherence import lesion_contrast
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
FACTORS, UNTILS = (1 / 64, 1 / 32, 1 / 16), (0.0, 0.2, 0.4)
SHOWN = 4


def with_lesion(request: Mapping[str, Any], factor: float, until: float) -> MddpmRequest:
    """The request with other settings of its lesion."""
    lesion = {**request["pathologies"][0], "relative_factor": factor, "until": until}
    return validated(MddpmRequest, "request", {**request, "pathologies": [lesion]})


def gray_of(method: Mddpm, request: MddpmRequest, seed: int) -> np.ndarray:
    """The image of one request and seed."""
    return method.synthesize(request, seed, method.config.sampling).require_image()[0, :, :, 0]


def main(work: Path, run: Path, count: int) -> None:
    """Both kinds of lesion over the grid."""
    method = load_method(run)
    assert isinstance(method, Mddpm)
    result: dict[str, Any] = {"count": count, "facts": facts(), "cells": []}
    pictures = []
    kinds = ("round", "spiculated")
    with ConsoleProgress().task("pathology", len(kinds) * (1 + len(FACTORS) * len(UNTILS)) * count) as advance:
        for kind in kinds:
            request = requests(work)[f"anatomy-{kind}"]
            plain = validated(MddpmRequest, "request", {**request, "pathologies": []})
            masks = [
                method.steering(with_lesion(request, 1 / 32, 0.1), seed, method.config.sampling).lesions[0].mask
                for seed in range(count)
            ]
            healthy = []
            for seed, mask in enumerate(masks):
                healthy.append(lesion_contrast(gray_of(method, plain, seed), mask))
                advance(1, kind)
            limit = float(np.percentile(healthy, 95))
            for factor in FACTORS:
                for until in UNTILS:
                    images = [gray_of(method, with_lesion(request, factor, until), seed) for seed in range(count)]
                    advance(count, kind)
                    contrasts = [lesion_contrast(image, mask) for image, mask in zip(images, masks, strict=True)]
                    found = int(sum(contrast > limit for contrast in contrasts))
                    low, high = binomtest(found, count).proportion_ci()
                    cell = {"kind": kind, "n": factor, "a": until, "detected": [found / count, float(low), float(high)]}
                    result["cells"].append({**cell, "contrast": float(np.mean(contrasts)), "limit": limit})
                    print(json.dumps(result["cells"][-1]))
                    tiles = [
                        Tile(image.astype(np.float32), mask.astype(np.uint8))
                        for image, mask in zip(images[:SHOWN], masks, strict=False)
                    ]
                    pictures.append((f"{kind}\nn {factor:.3g}, a {until:g}\n{found}/{count}", tiles))
    write_json(HERE / "pathology.json", result)
    write_bytes(HERE / "pathology.png", image_grid(pictures[:: len(UNTILS)], title="Lesions by n; requested outline"))


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
