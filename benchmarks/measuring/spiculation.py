"""Which measure tells spiculated lesions from smooth and lobulated ones, and where: bodies of the CT phantoms.

python benchmarks/measuring/spiculation.py

The bodies are those of ``medsmith phantom ct``, whose spicules are known exactly, on voxels of random size. The best
threshold of one seed and the one in use are tested on another seed; spiculation.json beside this file has the result.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.measurement.shape import measure_shape
from medsmith.measurement.spiculation import spicule_share
from medsmith.measurement.words import THRESHOLDS
from medsmith.phantoms.ct.lesion_bodies import LOBULATED, SMOOTH, SPICULES, Bumps, sample_star
from medsmith.phantoms.space import Grid

HERE = Path(__file__).parent
KINDS: dict[str, tuple[Bumps, ...]] = {
    "smooth": (SMOOTH,),
    "lobulated": (LOBULATED,),
    "smooth, spiculated": (SMOOTH, SPICULES),
    "lobulated, spiculated": (LOBULATED, SPICULES),
}
COUNT = 60
"""Bodies of each kind and seed."""
Row = dict[str, Any]
LONGEST_MM, ASPECT, SPACING_MM, STRETCH = (8.0, 40.0), (0.6, 1.0), (0.7, 1.33), (1.0, 1.8)


def measured(seed: int, count: int) -> list[Row]:
    """Measures of COUNT bodies of each kind."""
    rng = np.random.default_rng(seed)
    return [
        {"kind": kind, "spiculated": SPICULES in bumps, **_body(rng, bumps)}
        for kind, bumps in KINDS.items()
        for _ in range(count)
    ]


def _body(rng: np.random.Generator, bumps: tuple[Bumps, ...]) -> dict[str, float]:
    longest, spacing = float(np.exp(rng.uniform(*np.log(LONGEST_MM)))), rng.uniform(*SPACING_MM)
    stretch = rng.uniform(*STRETCH)
    edges = longest * rng.permutation([1.0, *rng.uniform(*ASPECT, 2)])
    steps = spacing * np.array([1, 1, stretch])
    shape = np.ceil(edges / steps).astype(int) + 4
    x, y, z = ((np.arange(size) - size / 2 + rng.uniform(0, 1)) * step for size, step in zip(shape, steps, strict=True))
    grid = Grid((x, y, z), spacing, np.zeros((3, 1, 1, 1), np.float32), stretch=stretch)
    mask = sample_star(rng, bumps).placed(np.zeros(3), edges).distance(grid) <= 0
    found = measure_shape(mask, grid.steps)
    return {"longest_mm": longest, "convexity": found.convexity, "spicule_share": spicule_share(mask, grid.steps)}


def balanced(rows: list[Row], share: float) -> float:
    """Balanced accuracy of a smallest share of spicules."""
    truth = np.array([row["spiculated"] for row in rows])
    said = np.array([row["spicule_share"] >= share for row in rows])
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)


def auc(rows: list[Row], value: str, sign: float) -> float:
    """Area under the ROC curve of one measure: spiculated bodies against the others."""
    ranks = rankdata([sign * row[value] for row in rows])
    truth = np.array([row["spiculated"] for row in rows])
    above = float(ranks[truth].sum()) - truth.sum() * (truth.sum() + 1) / 2
    return above / float(truth.sum() * (~truth).sum())


def main() -> None:
    """Fits on one seed, tests on the other, prints and writes both."""
    fit, test = measured(1, COUNT), measured(2, COUNT)
    shares = np.arange(0.01, 0.06, 0.001)
    best = float(shares[int(np.argmax([balanced(fit, share) for share in shares]))])
    used = THRESHOLDS.spicule_share
    result = {
        "n": len(test),
        "auc of spicule_share": round(auc(test, "spicule_share", 1), 3),
        "auc of convexity": round(auc(test, "convexity", -1), 3),
        "best on the fitting seed": round(best, 3),
        "balanced accuracy of the best": round(balanced(test, best), 3),
        "in use": used,
        "balanced accuracy in use": round(balanced(test, used), 3),
        "said of each kind": {kind: _said([row for row in test if row["kind"] == kind], used) for kind in KINDS},
        "said below 12 mm": {
            kind: _said([row for row in test if row["kind"] == kind and row["longest_mm"] < 12], used) for kind in KINDS
        },
    }
    write_json(HERE / "spiculation.json", {"result": result, "made": facts()})
    print(*(f"{name}: {value}" for name, value in result.items()), sep="\n")


def _said(rows: list[Row], share: float) -> str:
    return f"{sum(row['spicule_share'] >= share for row in rows)} of {len(rows)}"


if __name__ == "__main__":
    main()
