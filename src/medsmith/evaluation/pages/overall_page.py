"""The page that answers all questions: verdict first, pictures, then every part."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from jaxtyping import Float64

from medsmith.evaluation.adherence.answer import obedient
from medsmith.evaluation.adherence.page import label_section
from medsmith.evaluation.adherence.result import LabelFidelity
from medsmith.evaluation.compare_cohorts import ComparedCohorts
from medsmith.evaluation.downstream.answer import useful
from medsmith.evaluation.downstream.page import utility_page
from medsmith.evaluation.downstream.result import Utility
from medsmith.evaluation.downstream.wording import limits_of
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.realism import NEIGHBORS, realism
from medsmith.evaluation.fidelity.views import View
from medsmith.evaluation.not_measured import NotMeasured
from medsmith.evaluation.pages.answer import real_enough
from medsmith.evaluation.pages.page import Page, Picture, Section
from medsmith.evaluation.pages.sheets import contact_sheet, plane_tiles
from medsmith.evaluation.privacy.answer import private
from medsmith.evaluation.privacy.page import PROVES
from medsmith.evaluation.privacy.result import Privacy
from medsmith.evaluation.result import Evaluation

_SHOWN = 6
_SEED = 0


def overall_page(
    compared: ComparedCohorts,
    privacy: tuple[Privacy, Page],
    utility: Utility | NotMeasured,
    labels: LabelFidelity | NotMeasured,
) -> Page:
    """The report.

    Args:
        compared: the evaluation with its features.
        privacy: copies and membership, and their report.
        utility: what networks gain, or why none can be trained.
        labels: what segmenters found of the label maps, or why that was not measured.
    """
    found, page_of_privacy = privacy
    parts = {"Real enough": compared.page, "Private": page_of_privacy}
    if isinstance(utility, Utility):
        parts["Useful"] = utility_page(utility)
    facts = {f"{name}: {key}": value for name, page in parts.items() for key, value in page.facts.items()}
    first, *others = (list(_named(name, page)) for name, page in parts.items())
    if isinstance(labels, LabelFidelity):
        others.insert(0, [replace(label_section(labels), title="Obedient: label fidelity")])
    sections = [
        *_pictures(compared),
        Section("What these data cannot show", _limits(compared.evaluation, found, utility)),
        *chain(first, *others),
        *_answers(compared),
    ]
    answers = verdicts(compared.evaluation, labels, found, utility)
    return Page(compared.page.title, answers, sections, facts, compared.page.links)


def verdicts(
    evaluation: Evaluation, labels: LabelFidelity | NotMeasured, privacy: Privacy, utility: Utility | NotMeasured
) -> list[str]:
    """One answer to each question."""
    return [real_enough(evaluation), obedient(labels), private(privacy), useful(utility)]


def _limits(evaluation: Evaluation, privacy: Privacy, utility: Utility | NotMeasured) -> list[str]:
    networks: list[str] = []
    if isinstance(utility, Utility):
        networks = [*(line for size in utility.sizes for line in limits_of(size, utility)), *utility.notes]
    notes = dict.fromkeys((*evaluation.notes, *privacy.notes))
    return [*notes, *evaluation.left_out, *privacy.left_out, PROVES, *networks]


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
