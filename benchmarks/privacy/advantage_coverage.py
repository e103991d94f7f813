"""How often the 95 % interval of the membership advantage holds the true advantage.

    python benchmarks/privacy/advantage_coverage.py [TRIALS]

The nearness of a case is normal with variance 1, and its mean among training cases lies above that among held-out ones
by what the true advantage demands: 2 F(shift / 2) - 1, where F is the normal distribution function. Where patients
have several slices, half of the variance is that of the patient, and whole patients are drawn. Beside the interval of
``infer_membership`` stands that of plain resampling, from the 2.5th to the 97.5th percentile of the advantages of
resampled cases. The result goes to advantage_coverage.json beside this file; write_table.py puts it into
docs/privacy.md.
"""

import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm

from medsmith.evaluation.fidelity.bootstrap import LEVEL, proportion
from medsmith.evaluation.privacy.membership import RESAMPLES, advantage_of, infer_membership
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

HERE = Path(__file__).parent
ADVANTAGES = (0.0, 0.2, 0.5)
CASES = (20, 100)
"""Of each kind, every one of another patient."""
PATIENTS = ((20, 4),)
"""Patients of each kind, and slices of each."""

OF_PATIENTS = 0.5
"""Share of the variance that is that of patients."""

Values = Float64[np.ndarray, " n"]


def shift_of(advantage: float) -> float:
    """Between two normal distributions of variance 1 whose cumulative ones differ by the advantage at most."""
    return float(2 * norm.ppf((1 + advantage) / 2))


def nearness(rng: np.random.Generator, patients: int, slices: int) -> Values:
    """Of all slices, those of a patient one after the other; variance 1."""
    shared = np.repeat(rng.normal(scale=np.sqrt(OF_PATIENTS), size=patients), slices)
    values: Values = shared + rng.normal(scale=np.sqrt(1 - OF_PATIENTS), size=patients * slices)
    return values


def resampled(members: Values, others: Values, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of the advantages of resampled cases."""
    drawn = [advantage_of(rng.choice(members, len(members)), rng.choice(others, len(others))) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def of_cases(cases: int, advantage: float, trials: int) -> Mapping[str, object]:
    """Shares of the trials in which either interval holds the true advantage; each case is another patient's."""
    rng = np.random.default_rng(0)
    held, plain = 0, 0
    for trial in range(trials):
        members, others = rng.normal(shift_of(advantage), size=cases), rng.normal(size=cases)
        found = infer_membership(members, others, trial).advantage
        held += found.low <= advantage <= found.high
        low, high = resampled(members, others, rng)
        plain += low <= advantage <= high
    print(f"{cases} cases of each kind, advantage {advantage}: held in {held} of {trials}", flush=True)
    return {
        "cases": cases,
        "advantage": advantage,
        "held": proportion(held, trials).as_json(),
        "held_by_plain_resampling": proportion(plain, trials).as_json(),
    }


def of_patients(patients: int, slices: int, advantage: float, trials: int) -> Mapping[str, object]:
    """Share of the trials in which the interval over patients holds the true advantage of slices."""
    rng = np.random.default_rng(0)
    training, held_out = ([f"{kind}{n // slices}" for n in range(patients * slices)] for kind in ("t", "h"))
    held = 0
    for trial in range(trials):
        members, others = shift_of(advantage) + nearness(rng, patients, slices), nearness(rng, patients, slices)
        found = infer_membership(members, others, trial, (training, held_out)).advantage
        held += found.low <= advantage <= found.high
    print(f"{patients} patients, {slices} slices, advantage {advantage}: held in {held} of {trials}", flush=True)
    return {"patients": patients, "slices": slices, "advantage": advantage, "held": proportion(held, trials).as_json()}


def main(trials: int) -> None:
    """Measure, and keep the shares."""
    cases = [of_cases(number, advantage, trials) for number, advantage in product(CASES, ADVANTAGES)]
    patients = [of_patients(*each, advantage, trials) for each, advantage in product(PATIENTS, ADVANTAGES)]
    found = {"trials": trials, "cases": cases, "patients": patients, "machine": facts()}
    write_json(HERE / "advantage_coverage.json", found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
