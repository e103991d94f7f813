"""Whether chance explains the cases above a threshold for copies, and which copies it cannot explain."""

from collections.abc import Sequence
from enum import StrEnum
from typing import final

import numpy as np
from scipy import stats

from medsmith.cases.integrity import first_of
from medsmith.evaluation.fidelity.bootstrap import LEVEL, Estimate
from medsmith.evaluation.privacy.threshold import Threshold


@final
class Chance(StrEnum):
    """What chance has to do with the synthetic cases above a threshold."""

    BEYOND = "more than chance explains"
    UNTOLD = "cannot be told from chance"
    WITHIN = "no more than chance explains"


def against_chance(flagged: Estimate, threshold: Threshold) -> Chance:
    """The share of synthetic cases above a threshold against that of real cases, the false alarms.

    More than chance by Fisher's exact test, one-sided at 2.5 %: both shares are uncertain. A test that finds nothing
    is no proof of chance: that is said alone where the threshold is calibrated and the interval of the share does not
    lie above the false alarms.

    Args:
        flagged: proportion of synthetic cases above the threshold.
        threshold: with the false alarms among the real cases that it rests on.
    """
    alarms = threshold.false_alarms
    if not flagged.value:
        return Chance.WITHIN
    if alarms is None:
        return Chance.UNTOLD
    table = np.array([(_hits(share), share.n - _hits(share)) for share in (flagged, alarms)])
    if stats.fisher_exact(table, alternative="greater").pvalue < (1 - LEVEL) / 2:
        return Chance.BEYOND
    return Chance.WITHIN if threshold.is_calibrated and flagged.low <= alarms.value else Chance.UNTOLD


def chance_sentence(flagged: Estimate, threshold: Threshold, whose: str) -> str:
    """The verdict of ``against_chance`` as a sentence, with what it rests on.

    Args:
        flagged: proportion of synthetic cases above the threshold.
        threshold: with its false alarms.
        whose: the real cases behind it are, such as "held-out".
    """
    verdict, alarms = against_chance(flagged, threshold), threshold.false_alarms
    if alarms is None:
        few = f"Too few {whose} cases that are no near-duplicates to tell whether chance explains this."
        return few if verdict is Chance.UNTOLD else f"{_capital(verdict)}."
    counted = f"false alarms: {_hits(alarms)} of {alarms.n} {whose} cases, {100 * alarms.value:.1f} %"
    if verdict is not Chance.UNTOLD:
        return f"{_capital(verdict)} ({counted})."
    told = f"{verdict} with {alarms.n} {whose} cases ({counted})."
    if flagged.low > alarms.value:
        return f"The interval lies above the false alarms, but this {told}"
    return told[0].upper() + told[1:]


def exact_sentence(what: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Which synthetic cases are exact copies of which training cases.

    Args:
        what: is compared, such as "whole images".
        pairs: ids of each synthetic case and its training case, at least one.
    """
    listed = first_of(f"{synthetic} of {training}" for synthetic, training in pairs)
    are = "1 synthetic case is an exact copy" if len(pairs) == 1 else f"{len(pairs)} synthetic cases are exact copies"
    return f"Exact copies, {what}: {are} (similarity 1.000), which chance does not explain: {listed}."


def _hits(share: Estimate) -> int:
    return round(share.value * share.n)


def _capital(verdict: Chance) -> str:
    return verdict.value.capitalize()
