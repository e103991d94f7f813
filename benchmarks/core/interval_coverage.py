"""How often the 95 % intervals of distances hold the true value.

    python benchmarks/core/interval_coverage.py [--trials 300] [--sizes 20 40] [--dimensions 8 64] [--laws Gaussian]

A trial draws 2 n real and n synthetic cases; synthetic ones are of the same law or shifted by .25 along every axis.
Features have variance 1 (correlated ones: on average); Kolmogorov-Smirnov sees the first alone. The
true value is the expected statistic at that n, taken as the mean over all trials of the cell. No two cells share draws.
Writes interval_coverage.json beside this file after every cell, and leaves out cells that it holds with as many trials.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID
from medsmith.evaluation.fidelity.masks import KOLMOGOROV_SMIRNOV
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts

RESULT = Path(__file__).with_suffix(".json")
STATISTICS = (FRECHET, KID, GAUSSIAN, DENSITY, COVERAGE, KOLMOGOROV_SMIRNOV)
PARTS = ("synthetic", "floor", "excess", "whole")
SHIFTS = (0.0, 0.25)

Rows = Float64[np.ndarray, "n d"]
Law = Callable[[np.random.Generator, tuple[int, int]], Rows]


def heavy_tails(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Student's, 5 degrees of freedom, one scale per case."""
    return rng.standard_normal(shape) * np.sqrt(3 / rng.chisquare(5, (shape[0], 1)))


def log_normal(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """With a skewness of 1.75."""
    variance = 0.25
    return (rng.lognormal(0, np.sqrt(variance), shape) - np.exp(variance / 2)) / np.sqrt(
        (np.exp(variance) - 1) * np.exp(variance)
    )


def two_clusters(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Whose means are 1.15 apart along every axis."""
    return (rng.standard_normal(shape) + 0.7 * rng.choice([-1, 1], (shape[0], 1))) / np.sqrt(1.49)


def correlated(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Principal axes with standard deviations in proportion to 1, 1/2, 1/3, ..."""
    scale = 1 / np.arange(1, shape[1] + 1)
    return rng.standard_normal(shape) * scale / np.sqrt((scale**2).mean())


LAWS: Mapping[str, Law] = {
    "Gaussian": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails": heavy_tails,
    "log-normal": log_normal,
    "two clusters": two_clusters,
    "correlated": correlated,
}


def trial(
    law: str, dimension: int, size: int, shift: float, rng: np.random.Generator
) -> Float64[np.ndarray, "statistics parts 3"]:
    """Value and ends of the interval of every part of every statistic."""
    rows, seed = LAWS[law](rng, (3 * size, dimension)), int(rng.integers(2**32))
    rows[2 * size :] += shift
    found = [compare(each, rows[: 2 * size], rows[2 * size :], ComparisonPlan(seed=seed)) for each in STATISTICS]
    ends = [[getattr(compared, part) for part in PARTS] for compared in found]
    return np.array([[(end.value, end.low, end.high) for end in of_statistic] for of_statistic in ends])


def cell(name: str, law: str, dimension: int, size: int, shift: float, trials: int) -> dict[str, object]:
    """Share of the intervals that hold the mean over trials, per statistic and part."""
    streams = (np.random.default_rng([index, *name.encode()]) for index in range(trials))
    found = np.array([trial(law, dimension, size, shift, rng) for rng in streams])
    value, low, high = np.moveaxis(found, -1, 0)
    truth = value.mean(0)
    shares = {
        "held": ((low <= truth) & (truth <= high)).mean(0),
        "truth_above": (truth > high).mean(0),
        "half_width_over_sd": (high - low).mean(0) / 2 / np.maximum(value.std(0), 1e-12),
    }
    statistics = {
        statistic.name: {
            part: {name: float(share[row, column]) for name, share in shares.items()}
            for column, part in enumerate(PARTS)
        }
        for row, statistic in enumerate(STATISTICS)
    }
    return {"trials": trials, "monte_carlo_error": float(np.sqrt(0.95 * 0.05 / trials)), "statistics": statistics}


def main(trials: int, sizes: list[int], dimensions: list[int], laws: list[str]) -> None:
    """All cells that are not there yet."""
    result = dict(read_json(RESULT)) if RESULT.exists() else {"cells": {}}
    cells = dict(result["cells"])
    for law in laws:
        for size in sizes:
            for dimension in dimensions:
                for shift in SHIFTS:
                    name = f"{law}, n {size}, d {dimension}, shift {shift:g}"
                    if name not in cells or cells[name]["trials"] < trials:
                        cells[name] = cell(name, law, dimension, size, shift, trials)
                        write_json(RESULT, {"cells": cells, "facts": facts()})
                        print(name, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=["Gaussian"])
    arguments = parser.parse_args()
    main(arguments.trials, arguments.sizes, arguments.dimensions, arguments.laws)
