"""Whether a synthetic cohort gives training cases away, in one sentence."""

from medsmith.evaluation.privacy.chance import Chance, against_chance
from medsmith.evaluation.privacy.membership import Membership
from medsmith.evaluation.privacy.result import Privacy


def private(privacy: Privacy) -> str:
    """The answer of the searches for copies, then of the membership tests that find more than chance."""
    images = {"whole images": privacy.images, "lesion regions": privacy.lesions}
    found = {name: (each.found.flagged, each.found.threshold) for name, each in images.items() if each is not None}
    if privacy.labels is not None:
        found["label maps"] = privacy.labels.found.flagged, privacy.labels.found.threshold
    if not found:
        return f"Private? Unknown: nothing could be searched for copies.{_members(privacy)}"
    counts = [f"{round(share.value * share.n)} of {share.n} {name}" for name, (share, _) in found.items()]
    chances = {against_chance(*each) for each in found.values()}
    exact = {name: len(each.exact) for name, each in images.items() if each is not None and each.exact}
    answer = "As far as was searched: no more near-copies than chance explains"
    if exact:
        answer = f"No: exact copies of training cases ({', '.join(f'{n} {name}' for name, n in exact.items())})"
    elif Chance.BEYOND in chances:
        answer = "No: more near-copies than chance explains"
    elif Chance.UNTOLD in chances:
        answer = "Unknown: there are near-copies, and too few real cases to tell whether chance explains them"
    return f"Private? {answer}: {', '.join(counts)} are above the thresholds for copies.{_members(privacy)}"


def _members(privacy: Privacy) -> str:
    """The membership tests whose advantage exceeds what chance reaches; nothing where there are none."""
    images = {"whole images": privacy.images, "lesion regions": privacy.lesions}
    tests: dict[str, Membership | None] = {name: each.membership for name, each in images.items() if each}
    tests |= {name: each.membership for name, each in privacy.nearness.items()}
    given = {name: each for name, each in tests.items() if each is not None}
    leaking = [f"{name}, AUC {each.auc}" for name, each in given.items() if each.advantage.value > each.chance]
    if not leaking:
        return ""
    return (
        " Training cases can be told from held-out ones by their nearness to synthetic cases, beyond chance, in "
        f"{len(leaking)} of {len(given)} tests ({'; '.join(leaking)}; each by itself at 5 %)."
    )
