"""The page that answers all questions: verdict first, pictures, then every part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.adherence.page import label_lines, label_section
from medsmith.evaluation.adherence.result import LabelFidelity
from medsmith.evaluation.compare_cohorts import ComparedCohorts
from medsmith.evaluation.downstream.page import utility_page
from medsmith.evaluation.downstream.result import GAIN, LOSS, NONE, WITHHELD, ArmResult, Utility
from medsmith.evaluation.downstream.wording import limits_of
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.realism import NEIGHBORS, realism
from medsmith.evaluation.fidelity.views import View
from medsmith.evaluation.pages.page import Page, Picture, Section
from medsmith.evaluation.pages.sheets import contact_sheet, plane_tiles
from medsmith.evaluation.pages.verdicts import is_told_apart, p_of
from medsmith.evaluation.privacy.chance import Chance, against_chance
from medsmith.evaluation.privacy.page import PROVES
from medsmith.evaluation.privacy.result import Privacy
from medsmith.evaluation.result import Evaluation

_SHOWN = 6
_SEED = 0
_VERDICTS: Mapping[str, str] = {
    GAIN: "Yes, in this experiment",
    LOSS: "No: they harm",
    NONE: "Not that this experiment can show",
    WITHHELD: "Unknown: the networks were not trained long enough",
}


def overall_page(
    compared: ComparedCohorts, privacy: tuple[Privacy, Page], utility: Utility, labels: LabelFidelity | str
) -> Page:
    """The report.

    Args:
        compared: the evaluation with its features.
        privacy: copies and membership, and their report.
        utility: what networks gain.
        labels: what segmenters found of the label maps, or why that was not measured.
    """
    found, page_of_privacy = privacy
    parts = {"Real enough": compared.page, "Private": page_of_privacy, "Useful": utility_page(utility)}
    facts = {f"{name}: {key}": value for name, page in parts.items() for key, value in page.facts.items()}
    sections = [
        *_pictures(compared),
        Section("What these data cannot show", _limits(compared.evaluation, found, utility)),
        *_named("Real enough", parts["Real enough"]),
        *([] if isinstance(labels, str) else [replace(label_section(labels), title="Obedient: label fidelity")]),
        *(section for name in ("Private", "Useful") for section in _named(name, parts[name])),
        *_answers(compared),
    ]
    answers = verdicts(compared.evaluation, labels, found, utility)
    return Page(compared.page.title, answers, sections, facts, compared.page.links)


def verdicts(evaluation: Evaluation, labels: LabelFidelity | str, privacy: Privacy, utility: Utility) -> list[str]:
    """One answer to each question."""
    return [_real_enough(evaluation), _obedient(labels), _private(privacy), _useful(utility)]


def _real_enough(evaluation: Evaluation) -> str:
    apart: list[str] = []
    alike: list[str] = []
    for name in evaluation.extractors:
        if name in evaluation.distances:
            found = evaluation.distances[name][FRECHET.name]
            distance = f"Fréchet distance {found.synthetic}, floor {found.floor}, n {found.synthetic.n}"
            text = f"{name} ({p_of(evaluation, name)}; {distance})"
            (apart if is_told_apart(evaluation, name) else alike).append(text)
    if not apart and not alike:
        return "Real enough? Unknown: images were not compared."
    if not apart:
        return f"Real enough? As far as these cases can tell: not told apart by {'; '.join(alike)}."
    also = f" Not told apart by {'; '.join(alike)}." if alike else ""
    return f"Real enough? No: told apart from real cases by {'; '.join(apart)}.{also}"


def _obedient(labels: LabelFidelity | str) -> str:
    """Whether images show what their label maps say, as far as segmenters that know real cases alone can tell."""
    if isinstance(labels, str):
        return f"Obedient? Unknown: {labels}."
    ignored = [name for name, result in labels.structures.items() if result.verdict != "controlled"]
    answer = "Images follow their label maps, as far as segmenters can tell"
    if ignored:
        answer = f"Not shown: what segmenters find does not depend on the map ({', '.join(ignored)})"
    return f"Obedient? {answer}. {' '.join(label_lines(labels))}"


def _private(privacy: Privacy) -> str:
    images = {"images": privacy.images, "lesion regions": privacy.lesions}
    found = {name: (each.found.flagged, each.found.threshold) for name, each in images.items() if each is not None}
    if privacy.labels is not None:
        found["label maps"] = privacy.labels.found.flagged, privacy.labels.found.threshold
    if not found:
        return "Private? Unknown: nothing could be searched for copies."
    counts = [f"{round(share.value * share.n)} of {share.n} {name}" for name, (share, _) in found.items()]
    chances = {against_chance(*each) for each in found.values()}
    exact = {name: len(each.exact) for name, each in images.items() if each is not None and each.exact}
    against: list[str] = []
    for_it = "No more near-copies than chance explains"
    if exact:
        against.append(f"exact copies of training cases ({', '.join(f'{n} {name}' for name, n in exact.items())})")
    elif Chance.BEYOND in chances:
        against.append("more near-copies than chance explains")
    elif Chance.UNTOLD in chances:
        for_it = "Unknown: there are near-copies, and too few real cases to tell whether chance explains them"
    against += [
        f"training cases are told from held-out ones by {what} (p = {each.corrected:.2g}, AUC {each.auc})"
        for what, each in privacy.membership.items()
        if each.leaks
    ]
    answer = f"No: {'; '.join(against)}" if against else for_it
    return f"Private? {answer}: {', '.join(counts)} are above the thresholds for copies."


def _useful(utility: Utility) -> str:
    """The answer of the first arm of R + S at each size, then every other arm with a gain or a loss."""
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


def _limits(evaluation: Evaluation, privacy: Privacy, utility: Utility) -> list[str]:
    lines = [line for size in utility.sizes for line in limits_of(size, utility)]
    notes = dict.fromkeys((*evaluation.notes, *privacy.notes))
    return [*notes, *evaluation.left_out, *privacy.left_out, PROVES, *lines, *utility.notes]


def _named(name: str, page: Page) -> Iterator[Section]:
    yield Section(f"{name}: in sentences", page.summary)
    for section in page.sections:
        yield replace(section, title=f"{name}: {section.title}")


def _pictures(compared: ComparedCohorts) -> Iterator[Section]:
    synthetic = compared.synthetic.examples
    mixed = [view for view, _ in _mixed(compared)]
    if not mixed:
        return
    yield Section(
        "Which are real?",
        ("Real and synthetic cases in random order; the answers are at the end of this page.",),
        pictures=(Picture(_sheet(mixed, [f"{number + 1}" for number in range(len(mixed))]), "Without outlines."),),
    )
    scores = _scores(compared.real, compared.synthetic)
    if scores is not None:
        order = np.argsort(-scores, kind="stable")
        titles = [f"{each.id} {score:.2f}" for each, score in zip(synthetic, scores, strict=True)]
        rows = {"Most realistic": order[:_SHOWN], "Least realistic": order[::-1][:_SHOWN]}
        sentence = (
            f"Of {len(synthetic)} cases evenly spaced over the ids, by the realism score (Kynkäänniemi et al. 2019, k "
            f"= {NEIGHBORS}): 1 and more lies among real cases."
        )
        pictures = [
            Picture(_sheet([synthetic[row] for row in rows_], [titles[row] for row in rows_]), f"{caption}.")
            for caption, rows_ in rows.items()
        ]
        yield Section("Best and worst", (sentence,), pictures=pictures)


def _scores(real: CohortFeatures, synthetic: CohortFeatures) -> Float64[np.ndarray, " m"] | None:
    """Realism of the example cases by the first extractor; None where too little is known."""
    if not real.features or len(real.with_image) <= NEIGHBORS:
        return None
    name = next(iter(real.features))
    rows = [synthetic.with_image.index(view.id) for view in synthetic.examples if view.id in synthetic.with_image]
    if len(rows) != len(synthetic.examples):
        return None
    return realism(real.features[name], synthetic.features[name][rows])


def _mixed(compared: ComparedCohorts) -> list[tuple[View, str]]:
    """Real and synthetic views in random order."""
    of_both = [
        (view.without_labels, kind)
        for kind, found in (("real", compared.real), ("synthetic", compared.synthetic))
        for view in found.examples[:_SHOWN]
        if view.has_image
    ]
    order = np.random.default_rng(_SEED).permutation(len(of_both))
    return [of_both[row] for row in order.tolist()]


def _answers(compared: ComparedCohorts) -> Iterator[Section]:
    kinds = [kind for _, kind in _mixed(compared)]
    if kinds:
        listed = ", ".join(f"{number + 1} {kind}" for number, kind in enumerate(kinds))
        yield Section("Which were real", (f"{listed}.",))


def _sheet(views: Sequence[View], titles: Sequence[str]) -> bytes:
    tiles = [replace(plane_tiles(view)[-1], title=title) for view, title in zip(views, titles, strict=True)]
    return contact_sheet([tiles[start : start + _SHOWN] for start in range(0, len(tiles), _SHOWN)])
