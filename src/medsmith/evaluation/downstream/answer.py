"""Whether synthetic cases help, in one sentence a size."""

from collections.abc import Mapping

from medsmith.evaluation.downstream.result import GAIN, LOSS, NONE, WITHHELD, ArmResult, Utility
from medsmith.evaluation.not_measured import NotMeasured

_VERDICTS: Mapping[str, str] = {
    GAIN: "Yes, in this experiment",
    LOSS: "No: they harm",
    NONE: "Not that this experiment can show",
    WITHHELD: "Unknown: the networks were not trained long enough",
}


def useful(utility: Utility | NotMeasured) -> str:
    """The answer of the first arm of R + S at each size, then every other arm with a gain or a loss."""
    if isinstance(utility, NotMeasured):
        return f"Useful? Unknown: {utility.reason}."
    answers, others = [], []
    for size in utility.sizes:
        compared = [each for each in size.arms if each.dice.gain is not None]
        decisive = next(each for each in compared if each.arm.name.startswith("R + S"))
        answers.append(
            f"{_VERDICTS[decisive.verdict]}: {decisive.arm.name} against strong augmentation of R alone "
            f"(R real, S synthetic cases), {size.name}: {_points_of(decisive)}."
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
