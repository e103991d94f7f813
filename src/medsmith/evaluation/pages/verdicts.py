"""Whether two cohorts are told apart, in sentences: by permutation tests, corrected for their number."""

from collections.abc import Mapping

from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.two_sample_test import LEVEL, can_differ
from medsmith.evaluation.result import PRESENCE, Evaluation, LabelComparison

METHOD = (
    "p: permutation test, the share of the divisions of the cases into groups of these sizes with such a distance; "
    "then corrected by Holm's procedure over the measures of the label."
)
_DIFFER = "differ"
_ALIKE = "not told apart at this sample size (with n and p below, label by label)"
_UNABLE = "so few cases have them that no difference, however large, could reach p = 0.05: nothing can be said"
_ABSENT = "no case of either cohort has one of them"
_KINDS = (_DIFFER, _ALIKE, _UNABLE, _ABSENT)


def p_text(p: float) -> str:
    """A p value with two digits."""
    return f"{p:.2g}"


def p_of(evaluation: Evaluation, name: str) -> str:
    """The p value of the permutation test of some features, and the corrected one where there are several."""
    test, count = evaluation.permutations[name], len(evaluation.permutations)
    corrected = f", by Holm over {count} sets of features {p_text(test.corrected)}" if count > 1 else ""
    return f"p = {p_text(test.p)}{corrected}"


def is_told_apart(evaluation: Evaluation, name: str) -> bool:
    """Whether the permutation test of some features tells the cohorts apart."""
    return evaluation.permutations[name].corrected <= LEVEL


def image_verdict(evaluation: Evaluation, name: str) -> str:
    """What the test of some features, and their Fréchet distance against its floor, say."""
    excess, p = evaluation.distances[name][FRECHET.name].excess, p_of(evaluation, name)
    if excess.high < 0:
        return (
            f"Synthetic cases lie nearer to the real ones than other real cases do, as copies would ({excess} above "
            f"the floor; permutation test of all cases, {p}): see how near they come to the training cases."
        )
    distance = f"the distance is {excess} above the floor"
    if is_told_apart(evaluation, name):
        return f"The cohorts differ by more than chance (permutation test of all cases, {p}); {distance}."
    found = f"At this sample size the permutation test of all cases does not distinguish the cohorts ({p})"
    if excess.low > 0:
        return f"{found}, but {distance}, which is beyond its interval: they may differ."
    return f"{found}; {distance}."


def disagreement(evaluation: Evaluation) -> list[str]:
    """Which features tell the cohorts apart and which do not, where both kinds are there; else nothing."""
    of_kind: dict[bool, list[str]] = {True: [], False: []}
    for name in evaluation.distances:
        listed = f"{name} ({p_text(evaluation.permutations[name].corrected)})"
        of_kind[is_told_apart(evaluation, name)].append(listed)
    if not all(of_kind.values()):
        return []
    differ, alike = ("; ".join(of_kind[wanted]) for wanted in (True, False))
    return [f"The measures disagree: the cohorts differ by {differ}, and are not told apart by {alike} (p by Holm)."]


def mask_verdict(label: str, comparison: LabelComparison) -> str:
    """Which measures of a label differ between the cohorts, with both medians and p values."""
    if _is_absent(comparison):
        return f"Masks of {label}: no case of either cohort has it."
    tests = comparison.tests
    differing = sorted((name for name in tests if tests[name].corrected <= LEVEL), key=lambda name: tests[name].p)
    if differing:
        listed = "; ".join(_difference(name, comparison) for name in differing)
        return f"Masks of {label} differ in {listed}. p: permutation tests, corrected for their number (Holm)."
    counts = f"{comparison.presence.real} real and {comparison.presence.synthetic} synthetic cases with labels"
    if comparison.measures:
        first = next(iter(comparison.measures.values())).test
        counts = f"{first.real} real and {first.synthetic} synthetic cases that have it"
    if not can_differ(tests):
        return (
            f"Masks of {label}: nothing can be said. With {counts} no difference, however large, could reach p = "
            f"{LEVEL:g} in a permutation test corrected for the number of measures: more cases are needed."
        )
    alike = (
        f"Masks of {label}: at this sample size ({counts}) no measure of presence, size, position or shape "
        "distinguishes the cohorts"
    )
    apart = [name for name, test in tests.items() if test.value]
    if not apart:
        return f"{alike}: their values are distributed alike."
    widest = min(apart, key=lambda name: (tests[name].p, -tests[name].value))
    return (
        f"{alike}; the farthest apart is {_difference(widest, comparison)}. p: permutation test, corrected for the "
        f"number of measures (Holm); {p_text(tests[widest].p)} by itself."
    )


def mask_lines(masks: Mapping[str, LabelComparison]) -> list[str]:
    """A sentence on each label whose masks differ, and one on all others of a kind where they are several."""
    of_kind: dict[str, list[str]] = {}
    for label, comparison in masks.items():
        of_kind.setdefault(_kind(comparison), []).append(label)
    lines: list[str] = []
    for kind, labels in sorted(of_kind.items(), key=lambda item: _KINDS.index(item[0])):
        if kind == _DIFFER or len(labels) == 1:
            lines += [mask_verdict(label, masks[label]) for label in labels]
        else:
            lines.append(f"Masks of {', '.join(labels)}: {kind}.")
    if len(masks) > 1 and _DIFFER in of_kind:
        lines.append(
            f"Each label is tested by itself: of {len(masks)} labels that are alike in both cohorts up to 5 % would be "
            "said to differ. The answer above is corrected for their number as well."
        )
    return lines


def _kind(comparison: LabelComparison) -> str:
    if _is_absent(comparison):
        return _ABSENT
    if any(test.corrected <= LEVEL for test in comparison.tests.values()):
        return _DIFFER
    return _ALIKE if can_differ(comparison.tests) else _UNABLE


def _is_absent(comparison: LabelComparison) -> bool:
    return comparison.real.value == comparison.synthetic.value == 0


def _difference(name: str, comparison: LabelComparison) -> str:
    test = comparison.tests[name]
    p = f"p = {p_text(test.corrected)}"
    if name == PRESENCE:
        real, synthetic = (100 * share.value for share in (comparison.real, comparison.synthetic))
        return f"{name} ({real:.0f} % of the real, {synthetic:.0f} % of the synthetic; {p})"
    real, synthetic = (
        quartiles[1] for quartiles in (comparison.measures[name].real, comparison.measures[name].synthetic)
    )
    medians = f"median {real:.3g} real, {synthetic:.3g} synthetic"
    return f"{name} ({medians}; Kolmogorov-Smirnov distance {test.value:.2f}, {p})"
