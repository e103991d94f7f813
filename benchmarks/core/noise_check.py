"""What the check `image_noise` accepts and refuses, on phantoms of every family.

Half of the cases of a family are its training cohort. Measured relative to the largest noise among them: the other
half, all training images with white noise of twice that level added, and white noise instead of an image. A factor
between the first and the others is what the check needs (`Limits.noise`).

Writes noise_check.json beside this file. Run: python benchmarks/core/noise_check.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.machine import facts
from medsmith.measurement.noise_level import noise_levels
from medsmith.phantoms.families import FAMILIES, find_family
from medsmith.phantoms.family import case_id, case_seed
from medsmith.synthesis.checks.result import Limits

HERE = Path(__file__).parent
PICTURES, VOLUMES = (128, 100, (64, 64)), (64, 24, (64, 64, 32))
"""Edge of the phantoms, their number, and the network's grid."""


def images_of(name: str, edge: int, count: int, grid: tuple[int, ...]) -> tuple[list[np.ndarray], Fingerprint]:
    """Images in model space on the network's grid; the fingerprint is that of the first half."""
    family = find_family(name)
    cases = [family.make(case_seed(name, 0, index), case_id(name, index), edge) for index in range(count)]
    training = take_fingerprint(cases[: count // 2], family.file_ending, "0" * 64)
    return [image_to_model(case, training, grid).numpy() for case in cases], training


def level(image: np.ndarray) -> float:
    """Noise of the only channel."""
    return float(noise_levels(image.astype(np.float32))[0])


def row(name: str) -> dict[str, Any]:
    """What is accepted and refused of one family."""
    edge, count, grid = PICTURES if find_family(name).file_ending == ".png" or "chest" in name else VOLUMES
    images, _ = images_of(name, edge, count, grid)
    training, others = images[: count // 2], images[count // 2 :]
    largest, rng, limit = max(map(level, training)), np.random.default_rng(0), Limits().noise
    noisy = [image + rng.normal(0, 2 * largest, image.shape) for image in training]
    white = [rng.uniform(-1, 1, image.shape) for image in training]
    white += [rng.normal(image.mean(), image.std(), image.shape) for image in training]
    relative = {
        "other phantoms": [level(image) / largest for image in others],
        "twice the noise": [level(image.clip(-1, 1)) / largest for image in noisy],
        "white noise": [level(image.clip(-1, 1)) / largest for image in white],
    }
    found: dict[str, Any] = {"grid": grid, "training": len(training), "largest noise of the gray range": largest / 2}
    for kind, values in relative.items():
        refused = sum(value > limit for value in values)
        interval = binomtest(refused, len(values)).proportion_ci()
        found[kind] = {
            "n": len(values),
            "smallest": min(values),
            "largest": max(values),
            "refused": refused,
            "interval": [interval.low, interval.high],
        }
    return found


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Family -> what is accepted and refused, printed as it comes."""
    for name in FAMILIES:
        found = row(name)
        print(name, json.dumps(found), flush=True)
        yield name, found


def main() -> None:
    """Measure and write."""
    result = {**facts(["benchmarks/core/noise_check.py"]), "limit": Limits().noise, "families": dict(rows())}
    rounded = json.loads(json.dumps(result), parse_float=lambda digits: float(f"{float(digits):.3g}"))
    text = json.dumps(rounded, indent=1)
    (HERE / "noise_check.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
