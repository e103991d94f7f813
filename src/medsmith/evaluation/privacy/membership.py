"""Membership inference by distance: whether training cases lie nearer to the synthetic ones than held-out cases do.

The attacker of Chen et al. (2020, GAN-Leaks, black box) sees the synthetic cases alone and takes a case for one of
training if its nearest synthetic case is near. The advantage is the largest difference of the true and false positive
rates over all thresholds (Yeom et al. 2018, definition 4, at the attacker's best threshold). As a maximum it is above 0
even for a generator that leaks nothing: it is reported with the level that chance reaches, and with the p value of a
permutation test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Float64, Int

from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate
from medsmith.evaluation.multiple_tests import holm
from medsmith.evaluation.reader_study.auc import Placements, auc_estimate

RESAMPLES = 1000
LEAST = 4
"""Training and held-out cases, or patients, of a test: of 4 and 4 there are 70 divisions, so that p can be below .05
after the correction for three tests; of a single case resampling finds no variance."""
Rows = Int[np.ndarray, " _"]
METHOD = "bootstrap over {} of the difference of both rates at all thresholds"


@final
@dataclass(frozen=True)
class Membership:
    """How well membership in the training cohort is inferred.

    Attributes:
        auc: area under the ROC curve, 0.5 by chance.
        advantage: largest true minus false positive rate.
        chance: the advantage that 95 % of random divisions of these cases stay below.
        p_value: share of the random divisions, this one included, with at least this advantage.
        members: number of training cases.
        others: number of held-out cases.
        patients: of the training and of the held-out cases; None where each case counts as one of its own.
        corrected: the p value by Holm's procedure over all that membership is inferred from.
    """

    auc: Estimate
    advantage: Estimate
    chance: float
    p_value: float
    members: int
    others: int
    patients: tuple[int, int] | None = None
    corrected: float = 1.0

    @property
    def leaks(self) -> bool:
        """Whether training cases are told from held-out ones by more than chance."""
        return self.corrected < 1 - LEVEL

    def as_json(self) -> Mapping[str, object]:
        """The result as JSON values."""
        return {
            "auc": self.auc.as_json(),
            "advantage": self.advantage.as_json(),
            "advantage_by_chance": self.chance,
            "p_value": self.p_value,
            "training_cases": self.members,
            "held_out_cases": self.others,
            "patients": None if self.patients is None else list(self.patients),
        }


def tested(members: int, others: int, owners: tuple[Sequence[str], Sequence[str]] | None) -> tuple[int, int]:
    """The numbers of training and of held-out cases that a test exchanges, or of their patients."""
    return (members, others) if owners is None else (len(set(owners[0])), len(set(owners[1])))


def infer_membership(
    members: Float[np.ndarray, " n"],
    others: Float[np.ndarray, " m"],
    seed: int = 0,
    owners: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Membership:
    """ROC AUC and advantage with 95 % intervals over the cases, or patients, of both kinds.

    The AUC has DeLong's interval. Plain resampling gives a maximum an interval that lies too high. If t is the best
    threshold of the whole population, the advantage found is at least the difference of the rates at t, and exceeds the
    true one by no more than the largest error at any threshold.
    The upper end therefore adds the error at the best threshold, and the lower one takes away the largest error, each
    with the 97.5th percentile that the bootstrap gives it.

    Args:
        members: nearness of each training case to the synthetic ones, larger if nearer; at least one.
        others: of each held-out case; at least one.
        seed: of the resampling.
        owners: patient of each training case and of each held-out one; none may have both. Whole patients are drawn
            and exchanged. None: each case is of another patient.
    """
    rng = np.random.default_rng(seed)
    pooled = np.concatenate([members, others]).astype(np.float64)
    of_member, of_other = (None, None) if owners is None else map(np.array, owners)
    n, m = tested(len(members), len(others), owners)
    rows = None if owners is None else [*_rows_of(owners[0]), *_rows_of(owners[1], len(members))]
    levels = np.unique(pooled)
    gaps = gaps_of(members, others, levels)
    best, value = int(gaps.argmax()), advantage_of(members, others)
    errors, shuffled = np.empty((RESAMPLES, 2)), np.empty(RESAMPLES)
    for row in range(RESAMPLES):
        again, mixed = (rng.integers(0, n, n), n + rng.integers(0, m, m)), rng.permutation(n + m)
        drawn = [*again, mixed[:n], mixed[n:]]
        if rows is not None:
            drawn = [_cases_of(patients, rows) for patients in drawn]
        error = gaps_of(pooled[drawn[0]], pooled[drawn[1]], levels) - gaps
        errors[row] = max(0.0, float(error.max())), -error[best]
        shuffled[row] = advantage_of(pooled[drawn[2]], pooled[drawn[3]])
    down, up = np.quantile(errors, (1 + LEVEL) / 2, axis=0)
    low, high = max(0.0, value - float(down)), min(1.0, value + max(0.0, float(up)))
    method = METHOD.format("cases" if owners is None else "patients")
    advantage = Estimate(value, low, high, len(members) + len(others), method)
    # Rounding must not make a division with the same groups smaller than the value found.
    p_value = (1 + int(np.count_nonzero(shuffled >= value - 1e-12))) / (1 + RESAMPLES)
    auc, chance = auc_estimate(Placements.of(others, members, of_other, of_member)), float(np.quantile(shuffled, LEVEL))
    counts = None if owners is None else (n, m)
    return Membership(auc, advantage, chance, p_value, len(members), len(others), counts)


def _rows_of(owners: Sequence[str], first: int = 0) -> list[Rows]:
    """The rows of each patient, counted from the first."""
    return [first + np.flatnonzero(np.array(owners) == name) for name in np.unique(owners)]


def _cases_of(patients: Rows, rows: Sequence[Rows]) -> Rows:
    """The cases of drawn patients."""
    return np.concatenate([rows[patient] for patient in patients])


def corrected(found: Mapping[str, Membership]) -> dict[str, Membership]:
    """The same results with p values corrected for their number by Holm's procedure."""
    p_values = holm(np.array([each.p_value for each in found.values()], np.float64))
    return {name: replace(each, corrected=float(p)) for (name, each), p in zip(found.items(), p_values, strict=True)}


def gaps_of(
    members: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], levels: Float64[np.ndarray, " levels"]
) -> Float64[np.ndarray, " levels"]:
    """Difference of the shares of members and others at or above each level."""
    below_members, below_others = (
        np.searchsorted(np.sort(values), levels, side="left") / len(values) for values in (members, others)
    )
    gaps: Float64[np.ndarray, " levels"] = below_others - below_members
    return gaps


def advantage_of(members: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """Largest difference of the shares of members and others at or above a threshold; at least 0."""
    levels = np.concatenate([members, others]).astype(np.float64)
    return max(0.0, float(gaps_of(members, others, levels).max()))
