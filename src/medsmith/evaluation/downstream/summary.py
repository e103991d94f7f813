"""From the scores of all networks to the results of the utility experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from medsmith.evaluation.downstream.arm_results import Tested
from medsmith.evaluation.downstream.arms import LONGER, REAL
from medsmith.evaluation.downstream.intervals import hierarchical_mean
from medsmith.evaluation.downstream.networks import Job
from medsmith.evaluation.downstream.result import WITHHELD, Convergence, SizeResult
from medsmith.evaluation.downstream.scores import ArmScores, by_patient
from medsmith.evaluation.downstream.subsets import shared_cases
from medsmith.evaluation.fidelity.bootstrap import Estimate


@final
@dataclass(frozen=True, eq=False)
class Summary:
    """What the summaries of all sizes share.

    Attributes:
        out: folder of the networks.
        tested: what they are tested on.
        steps: of each network.
    """

    out: Path
    tested: Tested
    steps: int

    def of_size(self, jobs: Sequence[Job]) -> SizeResult:
        """The results of all networks of one size.

        Raises:
            RunError: a file does not hold the measures of every test case.
        """
        arms = list(dict.fromkeys(job.arm for job in jobs))
        ids, structures = self.tested.ids, len(self.tested.structures)
        scores = {
            arm: ArmScores.read(self.out, [job for job in jobs if job.arm == arm], ids, structures) for arm in arms
        }
        subsets = list({job.subset: job.ids for job in jobs}.values())
        shared, real = shared_cases(subsets), scores[REAL]
        convergence = Convergence(self.steps, self._rise(real, scores[LONGER], shared))
        results = [self.tested.result(arm, scores[arm], real, shared) for arm in arms if arm != LONGER]
        if not convergence.reached:
            results = [result if result.arm == REAL else replace(result, verdict=WITHHELD) for result in results]
        return SizeResult(
            cases=tuple(map(len, subsets)),
            seeds=len({job.seed for job in jobs}),
            shared=shared,
            patients=self.tested.patient_count(real),
            unlabeled=self.tested.unlabeled_count(real),
            lesions=self.tested.lesions(real),
            convergence=convergence,
            arms=tuple(results),
        )

    def _rise(self, real: ArmScores, longer: ArmScores, shared: float) -> Estimate:
        before, after = (by_patient(each.measures["dice"][:, :1], self.tested.owner) for each in (real, longer))
        return hierarchical_mean(after - before, shared, bounds=(-1.0, 1.0))
