"""How often membership is inferred where nothing leaks but patients have several slices, with and without `--group`.

    python benchmarks/privacy/false_alarms_of_patients.py [TRIALS]

The nearness of a slice is normal, half of its variance that of its patient, and distributed alike for training and
held-out slices. Every trial is tested twice: each slice as a patient of its own, and whole patients. The result goes
to false_alarms_of_patients.json beside this file; write_table.py puts it into docs/privacy.md.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.privacy.membership import infer_membership
from medsmith.formats.atomic import write_json
from medsmith.machine import facts

HERE = Path(__file__).parent
SETTINGS = ((20, 4), (10, 8))
"""Patients of either kind, and slices of each."""
OF_PATIENTS = 0.5
LEVEL = 0.05
WAYS = ("without --group", "with --group")


def nearness(rng: np.random.Generator, patients: int, slices: int) -> Float64[np.ndarray, " n"]:
    """Of all slices, those of a patient one after the other; variance 1."""
    shared = np.repeat(rng.normal(scale=np.sqrt(OF_PATIENTS), size=patients), slices)
    values: Float64[np.ndarray, " n"] = shared + rng.normal(scale=np.sqrt(1 - OF_PATIENTS), size=patients * slices)
    return values


def alarms(patients: int, slices: int, trials: int) -> Mapping[str, object]:
    """Shares of the trials in which p is below .05, and in which the interval of the AUC misses .5."""
    rng = np.random.default_rng(0)
    training, held_out = ([f"{kind}{n // slices}" for n in range(patients * slices)] for kind in ("t", "h"))
    told, missed = (dict.fromkeys(WAYS, 0) for _ in range(2))
    for trial in range(trials):
        members, others = nearness(rng, patients, slices), nearness(rng, patients, slices)
        for way, owners in zip(WAYS, (None, (training, held_out)), strict=True):
            found = infer_membership(members, others, trial, owners)
            told[way] += found.p_value < LEVEL
            missed[way] += not found.auc.low <= 0.5 <= found.auc.high
    return {
        "patients": patients,
        "slices": slices,
        "p_below_.05": {way: proportion(told[way], trials).as_json() for way in WAYS},
        "auc_interval_misses_.5": {way: proportion(missed[way], trials).as_json() for way in WAYS},
    }


def main(trials: int) -> None:
    """Measure, and keep the shares."""
    rows = [alarms(patients, slices, trials) for patients, slices in SETTINGS]
    write_json(HERE / "false_alarms_of_patients.json", {"trials": trials, "rows": rows, "machine": facts()})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
