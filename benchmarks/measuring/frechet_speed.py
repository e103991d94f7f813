"""The Fréchet distance of medsmith against the dense form, scipy.linalg.sqrtm of the product of both covariances.

    python benchmarks/measuring/frechet_speed.py

Processor seconds, and the relative difference of both. Fewer cases than features make the covariances singular, which
is hard for a dense root; how far either form is off is therefore also shown where the distance is known: the second
sample is 2 x + .5, and the distance |mean x + .5|^2 + Tr S_x. The result goes to frechet_speed.json beside this file;
docs/evaluation.md quotes it.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from scipy.linalg import sqrtm

from medsmith.evaluation.fidelity.frechet import frechet_distance
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

HERE = Path(__file__).parent
SIZES = ((500, 2048), (3000, 1024))
"""Cases of either sample, and features: singular covariances, and others."""
Rows = Float64[np.ndarray, "_ _"]
SECOND: Mapping[str, Callable[[np.random.Generator, Rows], Rows]] = {
    "equal distributions": lambda rng, x: rng.normal(size=x.shape),
    "shifted by .5": lambda rng, x: rng.normal(size=x.shape) + 0.5,
    "2 x + .5": lambda _, x: 2 * x + 0.5,
}
"""Pair -> its second sample, of the first."""
KNOWN = "2 x + .5"


def dense_distance(x: Rows, y: Rows) -> float:
    """The formula as it is written, with a d x d root."""
    of_x, of_y = np.cov(x.T), np.cov(y.T)
    shift, root = x.mean(0) - y.mean(0), np.trace(sqrtm(of_x @ of_y)).real
    return float(shift @ shift + np.trace(of_x) + np.trace(of_y) - 2 * root)


def timed(distance: Callable[[Rows, Rows], float], x: Rows, y: Rows) -> tuple[float, float]:
    """The distance, and processor seconds."""
    begin = time.process_time()
    found = distance(x, y)
    return found, time.process_time() - begin


def compared(cases: int, features: int, pair: str) -> Mapping[str, object]:
    """Both forms on one pair of samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(cases, features))
    y = SECOND[pair](rng, x)
    (ours, seconds), (dense, dense_seconds) = timed(frechet_distance, x, y), timed(dense_distance, x, y)
    row = {
        "cases": cases,
        "features": features,
        "pair": pair,
        "distance": ours,
        "seconds": seconds,
        "seconds_dense": dense_seconds,
        "times_faster": dense_seconds / seconds,
        "relative_difference": abs(ours / dense - 1),
    }
    if pair == KNOWN:
        known = float(((x.mean(0) + 0.5) ** 2).sum() + x.var(0, ddof=1).sum())
        row |= {"relative_error": abs(ours / known - 1), "relative_error_dense": abs(dense / known - 1)}
    return row


def main() -> None:
    """Measure, and keep the numbers."""
    frechet_distance(np.eye(4), np.eye(4))  # Loads what the first call loads.
    rows = [compared(*size, pair) for size in SIZES for pair in SECOND]
    write_json(HERE / "frechet_speed.json", {"rows": rows, "facts": facts()})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
