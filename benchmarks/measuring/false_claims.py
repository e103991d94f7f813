"""How often `medsmith evaluate` says that equal cohorts differ.

    python benchmarks/measuring/false_claims.py [TRIALS]

Patients: slices of few real patients, half of their variance that of the patient, against as many independent cases,
8 features; all slices compared, and one of each patient (`--group`). Units: 68 features, 9 and 10 cases, in units of
the spread of both cohorts, as the test takes them, and of the real one alone. Masks: 9 measures, two of them counts,
9 and 10 cases; and the same with components of 1 against 2. The result goes to false_claims.json beside this file;
docs/evaluation.md quotes it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.data.copies import Searchable
from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.feature_rows import feature_rows
from medsmith.evaluation.fidelity.permutation import permutation_test
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.two_sample_test import LEVEL, corrected, two_sample_test
from medsmith.evaluation.fidelity.views import ViewSpec
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

HERE = Path(__file__).parent
SETTINGS = ((10, 4), (5, 8))
"""Real patients, and slices of each."""
FEATURES, OF_PATIENTS = 8, 0.5
RADIOMIC, CASES = 68, (9, 10)
SPEC = ViewSpec((32, 32, 1), 0, "", None, in_millimeters=False, use_labels=False)


def of_patients(patients: int, slices: int, trials: int) -> Mapping[str, object]:
    """Share of the trials with p up to .05, of all slices and of one of each patient."""
    rng, claims = np.random.default_rng(0), {"all slices": 0, "one of each patient": 0}
    for trial in range(trials):
        shared = rng.normal(scale=np.sqrt(OF_PATIENTS), size=(patients, FEATURES))
        own = rng.normal(scale=np.sqrt(1 - OF_PATIENTS), size=(patients * slices, FEATURES))
        real, synthetic = np.repeat(shared, slices, axis=0) + own, rng.normal(size=(patients * slices, FEATURES))
        for name, compared in (("all slices", real), ("one of each patient", real[::slices])):
            claims[name] += permutation_test(compared, synthetic, seed=trial).p <= LEVEL
    shares = {name: proportion(count, trials).as_json() for name, count in claims.items()}
    return {"patients": patients, "slices": slices, **shares}


def of_units(trials: int) -> Mapping[str, object]:
    """Share of the trials with p up to .05, by the units of the features."""
    rng, claims = np.random.default_rng(0), {"of both cohorts": 0, "of the real cohort": 0}
    for _ in range(trials):
        real, synthetic = (
            CohortFeatures((), (), (), {Radiomics.name: rng.normal(size=(n, RADIOMIC))}, Searchable.of(()), {}, ())
            for n in CASES
        )
        rows = next(feature_rows(real, synthetic, [Radiomics()], SPEC))
        claims["of both cohorts"] += rows.test(ComparisonPlan()).p <= LEVEL
        claims["of the real cohort"] += permutation_test(rows.real, rows.synthetic, seed=0).p <= LEVEL
    return {name: proportion(count, trials).as_json() for name, count in claims.items()}


def of_masks(trials: int) -> Mapping[str, object]:
    """Share of the trials in which a measure differs, and in which components of 1 against 2 do."""
    rng, claims = np.random.default_rng(0), {"equal cohorts": 0, "components of 1 against 2": 0}
    n, both = CASES[0], sum(CASES)
    for trial in range(trials):
        values = np.vstack([rng.normal(size=(7, both)), 1 + rng.binomial(2, 0.3, (2, both))])
        claims["equal cohorts"] += min(_p_values(values, n, trial)) <= LEVEL
        values[-1] = np.where(np.arange(both) < n, 1.0, 2.0)
        claims["components of 1 against 2"] += _p_values(values, n, trial)[-1] <= LEVEL
    return {name: proportion(count, trials).as_json() for name, count in claims.items()}


def _p_values(values: Float64[np.ndarray, "measures cases"], n: int, seed: int) -> list[float]:
    """Of each measure, by Holm's procedure over all; the first n cases are the real ones."""
    tests = {str(row): two_sample_test(each[:n], each[n:], seed=seed) for row, each in enumerate(values)}
    return [test.corrected for test in corrected(tests).values()]


def main(trials: int) -> None:
    """Measure, and keep the shares."""
    found = {
        "patients": [of_patients(*setting, trials) for setting in SETTINGS],
        "units": of_units(trials),
        "masks": of_masks(trials),
    }
    write_json(HERE / "false_claims.json", {"trials": trials, **found, "facts": facts()})
    print(found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
