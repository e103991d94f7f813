"""Dice of a labeler on withheld cases, paired differences between labelers, and the rule that stops the loop."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, model_validator

from medsmith.evaluation.fidelity.bootstrap import Estimate, mean_of_few

Unit = Literal["patients", "slices"]
LEAST_PATIENTS = 2
"""Patients that need a label in their reference for its Dice to be averaged, and withheld patients at least."""
LEAST_DICE = 0.1
"""A label below it was not learned."""


@final
class Measured(BaseModel):
    """Dice of one labeler.

    Attributes:
        labels: names, without the background.
        patients: of each case.
        dice: case id -> Dice per label; None where neither the reference nor the prediction has the label.
        patients_with: label -> number of patients that have it in their reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    labels: tuple[str, ...]
    patients: dict[str, str]
    dice: dict[str, tuple[float | None, ...]]
    patients_with: dict[str, int]

    @model_validator(mode="after")
    def _complete(self) -> "Measured":
        if not self.dice or self.dice.keys() != self.patients.keys():
            raise ValueError("dice and patients are not of the same cases")
        if not self.labels or set(self.labels) != self.patients_with.keys():
            raise ValueError("patients_with and labels name other labels")
        if any(len(scores) != len(self.labels) for scores in self.dice.values()):
            raise ValueError("a case has not one Dice per label")
        if not self.counted:
            raise ValueError(f"no label is in the reference of {LEAST_PATIENTS} patients")
        return self

    @property
    def counted(self) -> tuple[str, ...]:
        """Labels that the mean is taken over: those that at least two patients have in their reference."""
        return tuple(name for name in self.labels if self.patients_with[name] >= LEAST_PATIENTS)

    @property
    def left_out(self) -> dict[str, str]:
        """Labels that the mean is not taken over, and why."""
        counts = {name: self.patients_with[name] for name in self.labels if name not in self.counted}
        unit = self.unit.removesuffix("s")
        return {name: f"in {count or 'no'} withheld {unit}, left out" for name, count in counts.items()}

    @property
    def unit(self) -> Unit:
        """What errors and intervals are over: "slices" where each case is its own patient."""
        return "slices" if all(id == patient for id, patient in self.patients.items()) else "patients"

    @property
    def by_patient(self) -> Float64[np.ndarray, "patients labels"]:
        """Mean over the cases of each patient; the patient is the unit of every mean, error and interval.

        Only cases whose reference or prediction has the label count; NaN where a patient has none.
        """
        rows: dict[str, list[tuple[float | None, ...]]] = defaultdict(list)
        for case_id, scores in self.dice.items():
            rows[self.patients[case_id]].append(scores)
        return np.array([mean_of_known(np.array(rows[patient], np.float64), axis=0) for patient in sorted(rows)])

    @property
    def patient_means(self) -> Float64[np.ndarray, " patients"]:
        """Mean over the counted labels of each patient; NaN where a patient has none of them."""
        columns = [self.labels.index(name) for name in self.counted]
        return mean_of_known(self.by_patient[:, columns], axis=1)

    @property
    def mean(self) -> float:
        """Mean over the counted labels, then over patients."""
        return self.estimate.value

    @property
    def estimate(self) -> Estimate:
        """Mean over the counted labels, then over patients, with its interval over patients."""
        return mean_of_few(self.patient_means, self.unit, (0.0, 1.0))

    @property
    def label_estimates(self) -> dict[str, Estimate]:
        """Counted label -> mean over patients with its interval."""
        columns = dict(zip(self.labels, self.by_patient.T, strict=True))
        return {name: mean_of_few(columns[name], self.unit, (0.0, 1.0)) for name in self.counted}

    @property
    def not_usable(self) -> tuple[str, ...]:
        """Counted labels that were not learned: their mean Dice is below ``LEAST_DICE``."""
        return tuple(name for name, found in self.label_estimates.items() if found.value < LEAST_DICE)


@final
@dataclass(frozen=True)
class Rise:
    """The paired difference of mean Dice between two labelers on the same patients.

    Attributes:
        differences: of each patient.
        unit: see ``Measured.unit``.
    """

    differences: tuple[float, ...]
    unit: Unit

    @property
    def value(self) -> float:
        """Mean over patients."""
        return float(np.mean(self.differences))

    @property
    def error(self) -> float:
        """Standard error of that mean."""
        return float(np.std(self.differences, ddof=1) / np.sqrt(len(self.differences)))

    @property
    def interval(self) -> Estimate:
        """The mean with its interval over patients."""
        return mean_of_few(np.array(self.differences), self.unit, (-1.0, 1.0))

    @property
    def exceeds_error(self) -> bool:
        """Whether the Dice rose by more than the standard error."""
        return self.value > self.error

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval.low > 0 or self.interval.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.3f} (standard error {self.error:.3f})"


def rise(after: Measured, before: Measured) -> Rise:
    """How far the mean Dice rose from one labeler to another.

    Args:
        after: of one labeler.
        before: of the other, on the same cases. Patients for whom either has no Dice are left out.
    """
    differences = after.patient_means - before.patient_means
    return Rise(tuple(differences[~np.isnan(differences)].tolist()), after.unit)


def mean_of_known(values: Float64[np.ndarray, "rows columns"], axis: int) -> Float64[np.ndarray, " n"]:
    """Mean along an axis of the values that are not NaN; NaN where there is none."""
    known = (~np.isnan(values)).sum(axis=axis)
    means: Float64[np.ndarray, " n"] = np.full(known.shape, np.nan)
    np.divide(np.nansum(values, axis=axis), known, out=means, where=known > 0)
    return means
