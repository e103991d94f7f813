"""Whether synthetic cases help, in one sentence a size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from medsmith.cases.cohort import Cohort
from medsmith.evaluation.downstream.result import GAIN, LOSS, NONE, WITHHELD, ArmResult, Utility

_VERDICTS: Mapping[str, str] = {
    GAIN: "Yes, in this experiment",
    LOSS: "No: they harm",
    NONE: "Not that this experiment can show",
    WITHHELD: "Unknown: the networks were not trained long enough",
}


@final
@dataclass(frozen=True)
class NoNetworks:
    """What stands in the place of a utility experiment that cannot be made of these cohorts.

    Attributes:
        reason: why not.
    """

    reason: str

    @classmethod
    def of(cls, cohorts: Mapping[str, Cohort]) -> "NoNetworks | None":
        """The first cohort that has cases without image or labels; None where networks can learn from all.

        Args:
            cohorts: by the words of the sentence.
        """
        for name, cohort in cohorts.items():
            for what, having in (("image", cohort.ids_with_image), ("labels", cohort.ids_with_labels)):
                if len(having) < len(cohort):
                    lacking = f"{len(cohort) - len(having)} of {len(cohort)} {name} cases have no {what}"
                    return cls(f"segmentation networks need image and labels of every case, and {lacking}")
        return None

    def as_json(self) -> Mapping[str, str]:
        """The reason as JSON values."""
        return {"not_measured": self.reason}


def useful(utility: Utility | NoNetworks) -> str:
    """The answer of the first arm of R + S at each size, then every other arm with a gain or a loss."""
    if isinstance(utility, NoNetworks):
        return f"Useful? Unknown: {utility.reason}."
    answers, others = [], []
    for size in utility.sizes:
        compared = [each for each in size.arms if each.dice.gain is not None]
        decisive = next(each for each in compared if each.arm.name.startswith("R + S"))
        answers.append(
            f"{_VERDICTS[decisive.verdict]}: {decisive.arm.name} against strong augmentation, {size.name}: "
            f"{_points_of(decisive)}."
        )
        others += [
            f"{each.verdict} of {each.arm.name}, {size.name}: {_points_of(each)}"
            for each in compared
            if each is not decisive and each.verdict in {GAIN, LOSS}
        ]
    also = f" Of the other arms: {'; '.join(others)}." if others else ""
    return f"Useful? {' '.join(answers)}{also}"


def _points_of(result: ArmResult) -> str:
    gain = result.dice.gain
    assert gain is not None, "every arm but R has a gain"
    return f"{100 * gain.value:+z.1f} points of Dice ({100 * gain.low:+z.1f} to {100 * gain.high:+z.1f})"
