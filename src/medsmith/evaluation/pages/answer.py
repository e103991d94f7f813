"""Whether synthetic cases are told apart from real ones, in one sentence over all images and masks."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.two_sample_test import LEVEL, can_differ
from medsmith.evaluation.multiple_tests import holm
from medsmith.evaluation.pages.verdicts import is_told_apart, p_of, p_text
from medsmith.evaluation.result import Evaluation

_QUESTION: Final = "Real enough?"
_NAMED: Final = 3


def real_enough(evaluation: Evaluation) -> str:
    """The answer of all tests of images and of masks: a cohort is told apart if one of either kind tells it apart."""
    apart, alike = _images(evaluation)
    of_masks = mask_p_values(evaluation)
    differing = {label: p for label, p in of_masks.items() if p <= LEVEL}
    over = f", by Holm over {len(of_masks)} labels" if len(of_masks) > 1 else ""
    if differing:
        apart.append(f"the masks of {_listed(differing)}{over}")
    elif of_masks:
        alike.append(f"the masks of {_listed(of_masks)}{over}")
    unseen = "" if evaluation.distances else " Images were not compared."
    if not apart and not alike:
        return f"{_QUESTION} Unknown: nothing could be compared that can show a difference.{unseen}"
    if not apart:
        return f"{_QUESTION} As far as these cases can tell: not told apart by {'; '.join(alike)}.{unseen}"
    also = f" Not told apart by {'; '.join(alike)}." if alike else ""
    return f"{_QUESTION} No: told apart from real cases by {'; '.join(apart)}.{also}{unseen}"


def mask_p_values(evaluation: Evaluation) -> dict[str, float]:
    """The least p value of each label whose masks could differ, corrected over its measures and over labels (Holm)."""
    able = {label: each.tests for label, each in evaluation.masks.items() if can_differ(each.tests)}
    least = np.array([min(test.corrected for test in tests.values()) for tests in able.values()], np.float64)
    return dict(zip(able, holm(least).tolist(), strict=True))


def _listed(of_masks: Mapping[str, float]) -> str:
    if len(of_masks) > _NAMED:
        return f"{len(of_masks)} labels (least p {p_text(min(of_masks.values()))})"
    return ", ".join(f"{label} (p {p_text(p)})" for label, p in of_masks.items())


def _images(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """The sets of features that tell the images apart, and those that do not; distances of whole extractors alone."""
    apart: list[str] = []
    alike: list[str] = []
    for name, statistics in evaluation.distances.items():
        found, p = statistics[FRECHET.name], p_of(evaluation, name)
        distance = f"; Fréchet distance {found.synthetic}, floor {found.floor}, n {found.synthetic.n}"
        text = f"{name} ({p}{distance if name in evaluation.extractors else ''})"
        (apart if is_told_apart(evaluation, name) else alike).append(text)
    return apart, alike
