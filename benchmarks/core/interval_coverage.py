"""How often the 95 % intervals of distances hold the true value, on Gaussian laws.

    python benchmarks/core/interval_coverage.py [--trials 100] [--sizes 20 40] [--dimensions 8 64 512]

A trial draws 2 n real and n synthetic cases; synthetic ones are of the same law or shifted by .25 along every axis. The
true value is the expected statistic at that n, taken as the mean over all trials of the cell. Writes
interval_coverage.json beside this file after every cell, and leaves out cells that it holds with as many trials.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.comparison import ComparisonPlan, compare
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.kernel import GAUSSIAN, KID
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts

RESULT = Path(__file__).with_suffix(".json")
STATISTICS = (FRECHET, KID, GAUSSIAN, DENSITY, COVERAGE)
PARTS = ("synthetic", "floor", "excess", "whole")
SHIFTS = (0.0, 0.25)


def trial(dimension: int, size: int, shift: float, seed: int) -> Float64[np.ndarray, "statistics parts 3"]:
    """Value and ends of the interval of every part of every statistic."""
    rows = np.random.default_rng(seed).standard_normal((3 * size, dimension))
    rows[2 * size :] += shift
    found = [compare(each, rows[: 2 * size], rows[2 * size :], ComparisonPlan(seed=seed)) for each in STATISTICS]
    ends = [[getattr(compared, part) for part in PARTS] for compared in found]
    return np.array([[(end.value, end.low, end.high) for end in of_statistic] for of_statistic in ends])


def cell(dimension: int, size: int, shift: float, trials: int) -> dict[str, object]:
    """Share of the intervals that hold the mean over trials, per statistic and part."""
    found = np.array([trial(dimension, size, shift, seed) for seed in range(trials)])
    value, low, high = np.moveaxis(found, -1, 0)
    truth = value.mean(0)
    held = ((low <= truth) & (truth <= high)).mean(0)
    wide = (high - low).mean(0) / 2 / np.maximum(value.std(0), 1e-12)
    shares = {
        statistic.name: {
            part: {"held": float(held[row, column]), "half_width_over_sd": float(wide[row, column])}
            for column, part in enumerate(PARTS)
        }
        for row, statistic in enumerate(STATISTICS)
    }
    error = float(np.sqrt(0.95 * 0.05 / trials))
    return {"trials": trials, "monte_carlo_error": error, "statistics": shares}


def main(trials: int, sizes: list[int], dimensions: list[int]) -> None:
    """All cells that are not there yet."""
    result = dict(read_json(RESULT)) if RESULT.exists() else {"cells": {}}
    cells = dict(result["cells"])
    for size in sizes:
        for dimension in dimensions:
            for shift in SHIFTS:
                name = f"n {size}, d {dimension}, shift {shift:g}"
                if name not in cells or cells[name]["trials"] < trials:
                    cells[name] = cell(dimension, size, shift, trials)
                    write_json(RESULT, {"cells": cells, "facts": facts()})
                    print(
                        name, {key: row["excess"]["held"] for key, row in cells[name]["statistics"].items()}, flush=True
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 100])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[8, 64, 512])
    arguments = parser.parse_args()
    main(arguments.trials, arguments.sizes, arguments.dimensions)
