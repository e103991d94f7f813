"""How often the intervals of `medsmith utility` contain a gain that is known.

    python benchmarks/measuring/utility_coverage.py [--trials 1000]

Scores are made of a gain and random effects of subsets, seeds, test patients and their interactions. Each setting has
its interval, the plain hierarchical bootstrap without its corrections beside it, and for subsets that share cases the
interval without the factor for what they share. The result goes to utility-coverage.json beside this file.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsmith.evaluation.downstream.intervals import Resamples, Scores, hierarchical_mean
from medsmith.evaluation.downstream.subsets import draw_subsets, shared_cases
from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

GAIN, RESAMPLES, POOL = 0.3, 400, 60
SETTINGS: Mapping[str, dict[str, Any]] = {
    "5 subsets, 2 seeds, 40 patients": {"shape": (5, 2, 40)},
    "the same, skewed patients": {"shape": (5, 2, 40), "skewed": True},
    "5 subsets with a large effect, 3 seeds, 30 patients": {"shape": (5, 3, 30), "subset": 2.0, "patient": 1.0},
    "1 subset, 3 seeds, 40 patients": {"shape": (1, 3, 40)},
    "no effect of subsets, seeds or patients": {"shape": (5, 2, 30), "subset": 0.0, "seed": 0.0, "patient": 0.0},
    "5 subsets that share 40 % of their cases": {"shape": (5, 2, 40), "subset": 0.0, "cases": 30},
    "3 subsets that share 33 % of their cases": {"shape": (3, 2, 40), "subset": 0.0, "cases": 30},
}


def scores(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    subset: float = 1.0,
    seed: float = 1.0,
    patient: float = 3.0,
    skewed: bool = False,
    cases: int = 0,
) -> tuple[Scores, float]:
    """Scores of all networks, and the share of cases that two subsets have in common."""
    subsets, seeds, patients = shape
    mains = bool(subset or seed or patient or cases)
    of_patients = rng.exponential(size=patients) - 1 if skewed else rng.normal(size=patients)
    found = GAIN + seed * rng.normal(size=(subsets, seeds, 1)) + patient * of_patients + rng.normal(size=shape)
    found = found + mains * rng.normal(size=(subsets, 1, patients))
    if subsets > 1:
        found = found + subset * rng.normal(size=(subsets, 1, 1))
    if not cases:
        return found, 0.0
    drawn = draw_subsets([[f"{number}"] for number in range(POOL)], cases, subsets)
    influence = 6 * rng.normal(size=POOL)
    of_subsets = np.array([influence[list(map(int, ids))].mean() for ids in drawn])
    return found + of_subsets[:, None, None], shared_cases(drawn)


def coverage(setting: Mapping[str, Any], trials: int) -> dict[str, Any]:
    """Share of trials whose intervals contain the gain."""
    rng, resamples = np.random.default_rng(1), Resamples(*setting["shape"], count=RESAMPLES)
    held = {"interval": 0, "plain bootstrap": 0, "without the factor": 0}
    for _ in range(trials):
        values, shared = scores(rng, **setting)
        low, high = np.quantile(resamples.means(values), [0.025, 0.975])
        held["plain bootstrap"] += bool(low <= GAIN <= high)
        for name, share in (("interval", shared), ("without the factor", 0.0)):
            found = hierarchical_mean(values, share, resamples)
            held[name] += found.low <= GAIN <= found.high
    return {name: proportion(count, trials).as_json() for name, count in held.items()}


def main(trials: int) -> None:
    """Every setting."""
    found = {name: coverage(setting, trials) for name, setting in SETTINGS.items()}
    for name, each in found.items():
        print(name, {key: round(100 * value["value"], 1) for key, value in each.items()})
    write_json(
        Path(__file__).with_name("utility-coverage.json"), {"settings": found, "trials": trials, "facts": facts()}
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    main(parser.parse_args().trials)
