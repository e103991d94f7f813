"""Sentences of the utility experiment: what was found, and what cannot be said."""

from medsmith.errors import counted
from medsmith.evaluation.downstream.intervals import inflation_of
from medsmith.evaluation.downstream.result import FEWEST_STEPS, MOST_RISE, ArmResult, SizeResult, Utility
from medsmith.evaluation.downstream.tables import points

ARMS = (
    "Arms: R, real cases alone, with strong augmentation as all arms but R, flips only; R + copy-paste, structures of "
    "other real cases pasted; S, synthetic cases alone; S then R, half of the steps on each; R + S, real and synthetic "
    "cases in every batch. In brackets: 95 % intervals."
)
METHOD = (
    "All arms have the same network, gradient steps, batch size and schedule, and the same initial weights in the same "
    "subset. Nothing is selected: the last weights are tested. Every arm has strong augmentation but the row that says "
    "otherwise. R: real cases alone. S: synthetic cases alone. S then R: half of the steps on each. R + S: the stated "
    "share of every batch, one half if none is stated, is synthetic. R + procedural: as R + S, with procedural cases, "
    "which learned from no image. R + copy-paste: structures of other real cases are pasted.",
    "Gain: paired difference to R with the same subset and seed on the same test patient, in absolute points. The "
    "interval is a bootstrap over subsets, the seeds of each and test patients, as wide as the crossed design has it "
    "with Student's quantiles. p values of structures are corrected by Holm's procedure; those of different arms and "
    "sizes are not.",
    "Measures are taken on the grid of each test case, averaged over its structures, then over the cases of a patient. "
    "A structure that the reference lacks is left out, and predicting it is a false alarm. One that is missed wholly "
    "scores 0, and the diagonal of the image in HD95. Surfaces (NSD, HD95) are those of MONAI. Lesions are connected "
    "components of at least 3 voxels, found from an IoU of .1 on; F1 is over all test cases.",
)


def size_lines(size: SizeResult, gain: float) -> list[str]:
    """What was found at one number of real cases, a sentence each."""
    return [_course(size), *(_found(size, result) for result in size.arms[1:]), _power(size, gain)]


def limits_of(size: SizeResult, utility: Utility) -> list[str]:
    """What this number of cases, networks and patients cannot say."""
    lines = [f"{size.name}: {_reach(size)}."]
    if len(size.cases) == 1:
        lines.append("One subset of real cases: what holds for these cases need not hold for others of the same kind.")
    elif size.shared:
        wider = inflation_of(len(size.cases), size.shared) ** 0.5
        lines.append(
            f"Two subsets share {100 * size.shared:.0f} % of their cases on average; what the subsets add to the "
            f"interval is widened {wider:.1f}-fold for it. More real cases, or smaller subsets, would be better."
        )
    if size.seeds == 1:
        lines.append("One seed per subset: what the seed does is not told from what the subset does.")
    if not size.convergence.reached:
        lines.append(
            "The course is too short: no sentence about these arms holds for networks that are trained longer."
        )
    if size is utility.sizes[-1]:
        lines.append(
            f"{counted(len(size.arms) - 1, 'arm')} compared with R at {counted(len(utility.sizes), 'size')}, without "
            "correction for their number: name the arm that decides before the experiment. Another architecture or "
            "another hospital is not covered by any interval."
        )
    return lines


def _reach(size: SizeResult) -> str:
    arm = _decisive(size)
    least = 100 * (arm.least_gain or 0)
    empty = f" (the masks of {size.unlabeled} more are empty: no Dice)" if size.unlabeled else ""
    counts = f"{counted(size.patients, 'test patient')}{empty}, {counted(len(size.cases), 'subset')} and "
    counts += counted(size.seeds, "seed")
    return f"with {counts}, a gain of {arm.arm.name} below {least:.1f} points cannot be told from none (80 % power)"


def _power(size: SizeResult, gain: float) -> str:
    needed = _decisive(size).patients_needed
    if needed is None:
        takes = "no number of test patients would do: it takes more subsets of real cases or more seeds"
    else:
        takes = f"it takes {needed} test patients"
    return f"{size.name}: {_reach(size)}; to see a gain of {gain:g} points, {takes}."


def _decisive(size: SizeResult) -> ArmResult:
    """The first arm of R + S."""
    return next(result for result in size.arms if 0 < result.arm.shares[0] < 1 and result.arm.made == "synthetic")


def _course(size: SizeResult) -> str:
    found = size.convergence
    dice = f"R reaches a Dice of {size.arms[0].dice.value.value:.3f} and rises by {points(found.rise)} points"
    rise = f"{size.name}: {dice} from {found.steps} to {2 * found.steps} steps"
    if found.steps < FEWEST_STEPS:
        rise += f", fewer than {FEWEST_STEPS}"
    if found.proposed is None and found.rise.high <= MOST_RISE:
        return f"{rise}: the course is long enough."
    if found.proposed is None:
        return f"{rise}: on average no more than a point, but these networks and patients do not exclude more."
    return f"{rise}, so that no verdict is given; run again with --steps {found.proposed} in a new folder."


def _found(size: SizeResult, result: ArmResult) -> str:
    gain = result.dice.gain
    if gain is None:
        return f"{size.name}, {result.arm.name}: nothing to compare."
    return f"{size.name}, {result.arm.name}: {points(gain)} points of Dice over R: {result.verdict}."
