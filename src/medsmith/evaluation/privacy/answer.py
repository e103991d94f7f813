"""Whether a synthetic cohort gives training cases away, in one sentence."""

from medsmith.errors import counted
from medsmith.evaluation.privacy.chance import Chance, against_chance
from medsmith.evaluation.privacy.result import Privacy


def private(privacy: Privacy) -> str:
    """The answer of the searches for copies and of the tests of membership: either can say no."""
    images = {"whole images": privacy.images, "lesion regions": privacy.lesions}
    found = {name: (each.found.flagged, each.found.threshold) for name, each in images.items() if each is not None}
    if privacy.labels is not None:
        found["label maps"] = privacy.labels.found.flagged, privacy.labels.found.threshold
    chances = {against_chance(*each) for each in found.values()}
    exact = {name: len(each.exact) for name, each in images.items() if each is not None and each.exact}
    against, for_it = [], "As far as was searched: no more near-copies than chance explains"
    if exact:
        copies = ", ".join(counted(count, name.removesuffix("s")) for name, count in exact.items())
        against.append(f"exact copies of training cases ({copies})")
    elif Chance.BEYOND in chances:
        against.append("more near-copies than chance explains")
    elif Chance.UNTOLD in chances:
        for_it = "Unknown: there are near-copies, and too few real cases to tell whether chance explains them"
    elif not found:
        for_it = "Unknown: nothing could be searched for copies"
    against += _members(privacy)
    answer = f"No: {'; '.join(against)}" if against else for_it
    counts = [f"{round(share.value * share.n)} of {share.n} {name}" for name, (share, _) in found.items()]
    above = f": {', '.join(counts)} are above the thresholds for copies" if counts else ""
    return f"Private? {answer}{above}."


def _members(privacy: Privacy) -> list[str]:
    """The tests, corrected for their number, by which training cases are told from held-out ones."""
    tests = privacy.membership
    by = f", by Holm over {len(tests)} such tests" if len(tests) > 1 else ""
    return [
        f"training cases are told from held-out ones by {what} (p = {each.corrected:.2g}{by}, AUC {each.auc})"
        for what, each in tests.items()
        if each.leaks
    ]
