"""Measures of all networks of an arm as arrays: networks by test patients.

Axes: k subsets, s seeds, n test cases, l structures, p test patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from medsmith.evaluation.downstream.intervals import Scores
from medsmith.evaluation.downstream.measures import FALSE_ALARMS, LESIONS, MEASURES
from medsmith.evaluation.downstream.networks import Job, read_scores

BySize = Float64[np.ndarray, "k s n l sizes 3"]


@final
@dataclass(frozen=True, eq=False)
class ArmScores:
    """What the networks of an arm scored on every test case.

    Attributes:
        measures: key of a measure -> scores; NaN where the convention of ``measures`` has none.
        lesions: found, invented and missed ones in each size class.
    """

    measures: Mapping[str, Float64[np.ndarray, "k s n l"]]
    lesions: BySize

    @classmethod
    def read(cls, out: Path, jobs: Sequence[Job], ids: Sequence[str], structures: int) -> "ArmScores":
        """The scores of all networks of one arm.

        Raises:
            RunError: a file does not hold the measures of every test case and structure.
        """
        subsets, seeds = len({job.subset for job in jobs}), len({job.seed for job in jobs})
        ordered = sorted(jobs, key=lambda job: (job.subset, job.seed))
        found = [read_scores(out, job, ids, structures) for job in ordered]
        shape = (subsets, seeds, len(ids))

        def array(name: str) -> Float64[np.ndarray, "k s n ..."]:
            rows = np.array([[cases[case_id][name] for case_id in ids] for cases in found], np.float64)
            return rows.reshape(*shape, *rows.shape[2:])

        return cls({name: array(name) for name in (*MEASURES, FALSE_ALARMS)}, array(LESIONS))


def by_patient(values: Float64[np.ndarray, "k s n l"], owner: Int64[np.ndarray, " n"]) -> Scores:
    """Mean over the structures of a case, then over the cases of a patient; patients without any are left out.

    Args:
        values: NaN where a case has no score, the same for every network.
        owner: number of the patient of each case.
    """
    of_cases, there = _mean(values, ~np.isnan(values), axis=3)
    member = (owner[:, None] == np.arange(owner.max() + 1)).astype(np.float64)
    counts = there[0, 0] @ member
    return np.asarray((of_cases @ member)[:, :, counts > 0] / counts[counts > 0])


def lesion_f1(lesions: BySize, owner: Int64[np.ndarray, " n"], size: int) -> Scores:
    """F1 of the lesions of a size class, as one pseudo-value per test patient; the reference has at least one of them.

    F1 = 2 found / (2 found + invented + missed) over all test cases of a network. Its mean and spread are those of the
    linearized ratio: F1 + P (2 found_p - F1 (2 found_p + invented_p + missed_p)) / sum of the denominators.

    Args:
        lesions: counts.
        owner: number of the patient of each case.
        size: number of the class.
    """
    member = (owner[:, None] == np.arange(owner.max() + 1)).astype(np.float64)
    found, invented, missed = np.moveaxis(np.einsum("ksnlc,np->kspc", lesions[:, :, :, :, size], member), -1, 0)
    above, below = 2 * found, 2 * found + invented + missed
    total = below.sum(axis=-1, keepdims=True)
    f1 = above.sum(axis=-1, keepdims=True) / total
    return np.asarray(f1 + member.shape[1] * (above - f1 * below) / total)


def lesions_of(lesions: BySize, size: int) -> int:
    """Number of lesions of a size class in the reference."""
    return int(lesions[0, 0, :, :, size, [0, 2]].sum())


def _mean(
    values: Float64[np.ndarray, "k s n l"], known: np.ndarray, axis: int
) -> tuple[Float64[np.ndarray, "k s n"], Float64[np.ndarray, "k s n"]]:
    """Mean of the known values, 0 where there is none, and whether there is one."""
    counts = known.sum(axis=axis)
    means = np.where(known, values, 0.0).sum(axis=axis) / np.maximum(counts, 1)
    return means, (counts > 0).astype(np.float64)
